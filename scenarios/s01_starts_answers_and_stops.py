"""First record is `ready`; `status` answers; `shutdown` answers, `stopped` follows, exit 0."""

from lanspread_harness import Lab, Result, expect_clean_exit, expect_equal


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha")  # waits for the first record, and fails unless it is ready

    status = await alpha.status()
    expect_equal(status.peer_id, alpha.peer_id, "status tells the peer_id of ready")
    expect_equal(status.name, "alpha", "status tells the name it was started with")
    expect_equal(status.listen_addr, alpha.ready.text("listen_addr"), "both tell one address")
    expect_equal(status.peer_count, 0, "nobody else is known")
    expect_equal(status.active_operations, 0, "nothing is going on")

    await alpha.shutdown()
    expect_clean_exit(await alpha.exited(), alpha)
    answers = [r for r in alpha.session.records if isinstance(r, Result) and r.cmd == "shutdown"]
    expect_equal(len(answers), 1, "shutdown is answered once, before stopped")
