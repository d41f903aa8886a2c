"""A shell session of SWE-ReX on this machine: runs each line of standard input, and answers with a line."""

import asyncio
import sys

from swerex.deployment.local import LocalDeployment
from swerex.runtime.abstract import BashAction, CreateBashSessionRequest


async def main() -> None:
    deployment = LocalDeployment()
    await deployment.start()
    await deployment.runtime.create_session(CreateBashSessionRequest())
    for line in sys.stdin:
        await deployment.runtime.run_in_session(BashAction(command=line.strip()))
        print("--- done 0", flush=True)
    await deployment.stop()


asyncio.run(main())
