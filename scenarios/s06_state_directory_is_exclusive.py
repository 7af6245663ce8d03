"""Two peers on one state directory: the second refuses to start, with a clear error."""

from lanspread_harness import Failure, Lab, expect, expect_equal


async def scenario(lab: Lab) -> None:
    alpha = await lab.peer("alpha")
    intruder = await lab.peer("intruder", state_of=alpha, start=False)
    await intruder.launch()

    status = await intruder.exited()
    expect_equal(str(status), "status 1", "startup that fails exits 1")
    records = intruder.session.records
    expect_equal(len(records), 1, "one record is printed")
    refusal = records[0]
    expect(isinstance(refusal, Failure) and refusal.id is None, "it is an error without an id")
    if isinstance(refusal, Failure):
        expect_equal(refusal.code, "state-dir-locked", "the code says what is wrong")
        expect(
            str(alpha.options.state_dir) in refusal.message,
            "the message names the directory",
            refusal.message,
        )

    await alpha.status()
