"""Private keys: whole blocks, halves of blocks, and talk about them."""

import pytest

LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
BODY = f"{LINE}\n{LINE}\n{LINE[:20]}==\n"


SSH2 = f"""---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----
Comment: "x"
{BODY}---- END SSH2 ENCRYPTED PRIVATE KEY ----"""
PUTTY = f"""PuTTY-User-Key-File-2: ssh-rsa
Encryption: none
Public-Lines: 1
{LINE}
Private-Lines: 1
{LINE}
Private-MAC: 00"""
HEAD = "-----BEGIN PRIVATE KEY-----"


def block(kind: str, body: str = BODY) -> str:
    return f"-----BEGIN {kind}-----\n{body}-----END {kind}-----"


@pytest.mark.parametrize(
    "kind",
    [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "DSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ],
)
@pytest.mark.parametrize("frame", ["{}", "here:\n{}\nbye", "`{}`", '"{}"'])
def test_a_block_is_found_whole(found, kind, frame):
    assert found("private_key", frame.format(block(kind))) == [block(kind)]


@pytest.mark.parametrize(
    "text",
    [
        block("RSA PRIVATE KEY", f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0011\n\n{BODY}"),
        block("PRIVATE KEY").replace("\n", "\\n"),
        block("PRIVATE KEY").replace("\n", "\r\n"),
        block("PRIVATE KEY").replace("\n", " "),
        block("PRIVATE KEY").replace("\n", "\n> "),
        block("PRIVATE KEY").replace("E", "\u200bE"),
        block("PRIVATE KEY").replace("-", "\u2010"),
        SSH2,
        PUTTY,
    ],
)  # fmt: skip
def test_other_ways_to_write_a_block_are_found_whole(found, text):
    assert found("private_key", text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HEAD}\n{BODY}", f"{HEAD}\n{BODY.rstrip()}"),
        (f"{HEAD}\n{LINE}\n{LINE[:20]}", f"{HEAD}\n{LINE}\n{LINE[:20]}"),
        (f"{HEAD}\n{LINE}\n\nThat was my key.", f"{HEAD}\n{LINE}"),
        (f"{HEAD}\\n{LINE}\\n{LINE}", f"{HEAD}\\n{LINE}\\n{LINE}"),
        (f"the rest:\n{BODY}-----END PRIVATE KEY-----", f"{BODY}-----END PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_half_a_block_is_found_to_the_end_of_its_body(found, text, expected):
    assert found("private_key", text) == [expected]


def test_a_block_that_is_not_ended_does_not_swallow_the_next(found):
    half = f"-----BEGIN EC PRIVATE KEY-----\n{LINE}"
    assert found("private_key", f"{half}\n{block('PRIVATE KEY')}") == [half, block("PRIVATE KEY")]


@pytest.mark.parametrize(
    "text",
    [
        "Look for -----BEGIN PRIVATE KEY----- in the file.",
        "between -----BEGIN PRIVATE KEY----- and -----END PRIVATE KEY-----",
        block("PUBLIC KEY"),
        block("CERTIFICATE"),
        block("RSA PUBLIC KEY"),
        "BEGIN PRIVATE KEY",
        "my private key is lost",
        "-----END PRIVATE KEY-----",
        "[REDACTED:private_key]",
        "",
    ],
)
def test_talk_about_keys_and_public_ones_are_left_alone(found, text):
    assert found("private_key", text) == []
