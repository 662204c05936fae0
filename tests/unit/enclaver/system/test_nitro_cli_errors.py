from __future__ import annotations

import pytest

from enclaver.system.nitro_cli_errors import explain

SENTENCE = "EIF building error. Such error appears when trying to build an EIF file."
LINK = "For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html"


def said(code: str, before: str = "") -> str:
    return f"Start building the Enclave Image...\n{before}[ {code} ] {SENTENCE}\n\n{LINK}#{code}\n"


def log(step: str) -> str:
    steps = ["Failed to build enclave", "Failed to build EIF from docker", step]
    return "  Action: Build Enclave\n  Subactions:\n" + "".join(f"    {one}\n" for one in steps) + "  Version: 1.5.2"


@pytest.mark.parametrize(
    ("words", "step", "message", "cure"),
    [
        ("Docker error: ConnectionError\n", "Failed to create EIF image: DockerError", "docker daemon", "Start the"),
        ("", "Failed to create EIF image: InitPathError", "no init", "Install aws-nitro-enclaves-cli-devel"),
        ("", "Failed to create EIF image: NsmPathError", "no nsm.ko", "Install aws-nitro-enclaves-cli-devel"),
        ("", "Failed to create EIF image: KernelPathError", "no kernel", "Install aws-nitro-enclaves-cli-devel"),
        ("", "Failed to create EIF image: LinuxkitPathError", "no linuxkit", "Install aws-nitro-enclaves-cli-devel"),
        ('Linuxkit reported: "boom"\n', "Failed to create EIF image: LinuxkitExecError", "boom", "See what it says"),
        (
            'Linuxkit reported: "write: no space left on device"\n',
            "Failed to create EIF image: LinuxkitExecError",
            "there is no space left",
            "Make room",
        ),
        ("", 'Could not generate build info: "Failed to open kernel image config file: x"', "configuration", "Install"),
        ("", "Failed to create EIF image: UnsupportedArchError", "a machine that Nitro does not have", "Build it for"),
        ("", "Failed to create EIF image: RamfsError", "RamfsError", "AWS explains the codes"),
    ],
)
def test_what_e48_stands_for_is_in_its_log(words: str, step: str, message: str, cure: str) -> None:
    error = explain(said("E48", words), log(step), 48)
    assert error.what.startswith("nitro-cli build-enclave failed (E48): ")
    assert message in error.what
    assert step in error.what
    assert error.cure is not None
    assert error.cure.startswith(cure)
    assert error.cure.endswith(".")


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("E19", "Check that the blobs folder"),
        ("E50", "Check that the docker daemon is the one"),
        ("E51", "Set HOME"),
        ("E52", "Install aws-nitro-enclaves-cli-devel"),
        ("E56", "Set NITRO_CLI_LOGS_PATH"),
        ("E77", "AWS explains the codes"),
    ],
)
def test_a_code_without_a_log_has_its_sentence(code: str, cure: str) -> None:
    error = explain(said(code), "", int(code[1:]))
    assert error.what == f"nitro-cli build-enclave failed ({code}): {SENTENCE}"
    assert error.cure is not None
    assert error.cure.startswith(cure)


def test_a_panic_is_told_without_its_backtrace() -> None:
    text = (
        "Start building\nthread 'main' (7) panicked at src/lib.rs:22:\ncalled `unwrap()`\nstack backtrace:\n   0: x\n"
    )
    error = explain(text, "", 101)
    assert error.what == "nitro-cli build-enclave failed: it panicked: called `unwrap()`"
    full = explain(text.replace("called", 'Os { kind: StorageFull, message: "No space" }'), "", 101)
    assert "there is no space left on the device: it panicked" in full.what


@pytest.mark.parametrize(("status", "words"), [(-9, "it was ended by signal 9"), (3, "it ended with 3")])
def test_an_end_without_a_word(status: int, words: str) -> None:
    assert explain("", "", status).what == f"nitro-cli build-enclave failed: {words}"


def test_what_is_told_is_bounded() -> None:
    error = explain(said("E48", "x" * 100_000 + "\n"), log("y" * 100_000), 48)
    assert len(error.what) < 1000
