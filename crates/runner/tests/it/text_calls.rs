//! Models that write their calls as text.

use std::sync::Arc;

use swegym_core::Role;
use swegym_core::fncall::TextFormat;
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, TextTools};
use swegym_testkit::{Reply, ScriptedServer};

use crate::toy::{Toy, key, scaffold};

const ANSWERS: [&str; 2] = [
    "An empty list has no mean.\n\n<function=execute_bash>\n<parameter=command>\nsed -i 's:/ len(values)$:/ len(values) \
     if values else 0:' toy/calc.py\n</parameter>\n",
    "<function=finish>\n",
];

#[tokio::test]
async fn a_fix_in_text_resolves_and_what_was_sent_can_be_written_again() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(|request| Reply::text(ANSWERS[request.turn().min(1)])).await;
    let client = Arc::new(ChatClient::new(ClientConfig::new(server.base_url(), "toy-model")).unwrap());
    let format = Arc::new(TextFormat::default());
    let solver = scaffold(
        "toy-model",
        Arc::new(move |_, _| {
            let chat = Box::new(ChatPolicy::new(Arc::clone(&client)));
            Ok(Box::new(TextTools::new(chat, Arc::clone(&format))))
        }),
    );
    let ran = toy.run("text", toy.workshop(solver), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 1, 0));

    let trajectory = ran.view.trajectory(&key(1)).unwrap().unwrap();
    assert_eq!(trajectory.tool_format, Some(TextFormat::default()));
    let requests = server.requests();
    assert_eq!(requests.len(), trajectory.steps.len());
    for ((step, request), answer) in trajectory.steps.iter().zip(&requests).zip(ANSWERS) {
        assert_eq!(trajectory.sent_before(step).unwrap(), request.messages());
        assert_eq!(step.raw.as_ref().map(|raw| raw.content.as_str()), Some(answer));
        assert_eq!(trajectory.messages[step.message_index].tool_calls.len(), 1);
    }
    assert!(trajectory.messages.iter().any(|message| message.role == Role::Tool));
}
