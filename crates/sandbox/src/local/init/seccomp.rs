//! The filter of system calls of everything in a sandbox.
//!
//! Two programs, each made once by the launcher. The first looks the number of the call up: it exists inside, is
//! refused with `EPERM`, or is unknown (`ENOSYS`), so that neither a call that came with a later kernel nor the
//! numbers of the x32 ABI lead around the filter. It is a binary search, because the kernel tries every number
//! when a filter is installed: the comparisons one after the other that the library makes took it 1.2 ms a
//! sandbox. The second, the library's, refuses some arguments, and kills who calls by the numbers of another
//! architecture. The kernel runs both, and the stricter answer counts.

use std::collections::BTreeMap;
use std::ffi::c_long;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::syscalls::{ALLOWED, CONDITIONAL, Group, REFUSED, Test};
use crate::local::sys;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// The filter, ready to be installed.
pub(crate) struct Filter {
    numbers: BpfProgram,
    arguments: BpfProgram,
}

impl Filter {
    /// Makes it; the error says why the kernel or the architecture has none.
    pub(crate) fn compile() -> Result<Self, String> {
        if !sys::has_seccomp_filters() {
            return Err("the kernel has no seccomp filters".to_owned());
        }
        let arguments = arguments().map_err(|error| error.to_string())?;
        Ok(Self { numbers: numbers(), arguments })
    }

    /// Confines this process, and everything it forks and becomes, for good. `no_new_privs` must be set.
    pub(crate) fn install(&self) -> Result<(), seccompiler::Error> {
        self.install_arguments()?;
        self.install_numbers()
    }

    /// Begins to confine this process, and everything it forks and becomes, for good. Nothing is refused yet that
    /// setting up a file tree and giving up privileges needs, but new namespaces are.
    pub(crate) fn install_arguments(&self) -> Result<(), seccompiler::Error> {
        seccompiler::apply_filter(&self.arguments)
    }

    /// Completes it.
    pub(crate) fn install_numbers(&self) -> Result<(), seccompiler::Error> {
        seccompiler::apply_filter(&self.numbers)
    }
}

/// From this number on, up to the next one, this is the answer.
type Start = (u32, u32);

fn numbers() -> BpfProgram {
    // The number is the first word of what the kernel hands to a filter.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    search(&starts(), &mut program);
    program
}

fn starts() -> Vec<Start> {
    let answer = |groups: &'static [Group], answer: u32| {
        let calls = groups.iter().flat_map(|(_, calls)| calls.iter());
        calls.filter_map(|call| u32::try_from(*call).ok()).map(move |call| (call, answer))
    };
    let known: BTreeMap<u32, u32> = answer(ALLOWED, ALLOW).chain(answer(REFUSED, REFUSE)).collect();
    let mut starts = BTreeMap::from([(0, UNKNOWN)]);
    for (call, answer) in known {
        starts.insert(call, answer);
        starts.insert(call + 1, UNKNOWN);
    }
    let mut starts: Vec<Start> = starts.into_iter().collect();
    starts.dedup_by_key(|(_, answer)| *answer);
    starts
}

/// Appends the search for the last of these that is not above the number.
fn search(starts: &[Start], program: &mut BpfProgram) {
    let (lower, upper) = starts.split_at(starts.len() / 2);
    let Some((first, answer)) = upper.first() else { return };
    if lower.is_empty() {
        return program.push(statement(libc::BPF_RET | libc::BPF_K, *answer));
    }
    let mut below = BpfProgram::new();
    search(lower, &mut below);
    // A jump reaches 255 statements; a longer way is gone by an unconditional one.
    let jump = statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, *first);
    match u8::try_from(below.len()) {
        Ok(over) => program.push(sock_filter { jt: over, ..jump }),
        Err(_) => {
            program.push(sock_filter { jf: 1, ..jump });
            program.push(statement(libc::BPF_JMP | libc::BPF_JA, below.len() as u32));
        }
    }
    program.append(&mut below);
    search(upper, program);
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn arguments() -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for (call, lists) in CONDITIONAL {
        let any = lists.iter().map(|tests| {
            SeccompRule::new(tests.iter().map(|test| condition(*test)).collect::<Result<_, _>>()?)
        });
        rules.insert(*call, any.collect::<Result<Vec<_>, _>>()?);
    }
    arguments_program(rules)
}

fn arguments_program(rules: BTreeMap<c_long, Vec<SeccompRule>>) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// The kernel, too, looks at the lower half of these arguments only.
fn condition(test: Test) -> Result<SeccompCondition, BackendError> {
    let (index, operator, value) = match test {
        Test::Is(index, value) => (index, SeccompCmpOp::Eq, value),
        Test::IsNot(index, value) => (index, SeccompCmpOp::Ne, value),
        Test::Has(index, bits) => (index, SeccompCmpOp::MaskedEq(bits), bits),
    };
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn answer(program: &[sock_filter], number: u32) -> u32 {
        let mut at = 1;
        loop {
            let statement = &program[at];
            at += 1;
            match u32::from(statement.code) & 0xf7 {
                code if code == libc::BPF_RET | libc::BPF_K => return statement.k,
                code if code == libc::BPF_JMP | libc::BPF_JA => at += statement.k as usize,
                _ => at += usize::from(if number >= statement.k { statement.jt } else { statement.jf }),
            }
        }
    }

    #[test]
    fn every_number_gets_the_answer_of_its_table() {
        let program = numbers();
        let of =
            |groups: &[Group], call: u32| groups.iter().any(|(_, calls)| calls.contains(&c_long::from(call)));
        for call in 0..2000 {
            let expected = match () {
                () if of(ALLOWED, call) => ALLOW,
                () if of(REFUSED, call) => REFUSE,
                () => UNKNOWN,
            };
            assert_eq!(answer(&program, call), expected, "{call}");
        }
        // Bit 30 marks calls of the x32 ABI.
        for call in [0x4000_0000, 0x4000_0000 + libc::SYS_ptrace as u32, u32::MAX] {
            assert_eq!(answer(&program, call), UNKNOWN);
        }
    }

    #[test]
    fn long_ways_are_gone_too() {
        let starts: Vec<Start> = (0..2000).map(|call| (call, call)).collect();
        let mut program = vec![statement(0, 0)];
        search(&starts, &mut program);
        assert!((0..2000).all(|call| answer(&program, call) == call));
    }
}
