"""Time grows with the text and no faster: so much of each of these would hang a pattern that looks twice.

No time is asserted. A quadratic pattern would need minutes to hours here, and the watchdog of the test run
ends that.
"""

import pytest

from checkrein_detectors import pack

SCAN = pack.scanner(frozenset(pack.max_spans))
SIZE = 250_000

UNITS = {
    "a local part without an end": "a",
    "local parts": "a" * 63 + "@",
    "at signs": "@",
    "labels": "@a.",
    "labels of another script": "я@я.",
    "digits": "4",
    "digits with dashes": "1-",
    "digits with spaces": "4 ",
    "groups of a card": "4111 ",
    "near social security numbers": "123-45-6789-",
    "spaced near social security numbers": "123 45 6789 ",
    "cues of social security": "ssn ",
    "cues and near numbers": "ssn 12345678 ",
    "plus signs": "+1 ",
    "telephone numbers": "+1 415 555 2671 ",
    "near telephone numbers": "+4 1 2 3 4 5 6 7 8 9 0 1 2 3 ",
    "numbers to dial": "0049 30 901820 ",
    "area codes": "415-555-",
    "parentheses": "(",
    "beginnings of an IBAN": "DE89 ",
    "near IBANs": "DE893704004405320130",
    "base64": "abcDEF123+/",
    "token headers": "eyJhbGciOiJIUzI1NiJ9",
    "token headers apart": " eyJhbGciOiJIUzI1NiJ9.",
    "issuers": "sk-",
    "short issuers": "ghp_",
    "near keys": "sk-aaaaaaaaaaaaaaaaaaaaaaaa ",
    "names of keys": "api_key=",
    "names of keys without an end": "-secret=1",
    "long names of keys": "api key for aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    "bearers": "bearer ",
    "headers of keys": "-----BEGIN ",
    "private key headers": "-----BEGIN PRIVATE KEY-----",
    "private key footers": "-----END PRIVATE KEY-----",
    "halves of private keys": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n",
    "PuTTY headers": "PuTTY-User-Key-File-2: a\n",
    "PuTTY headers without an end": "PuTTY-User-Key-File-2:",
    "dashes": "-",
    "passwords without a value": "password ",
    "passwords with a colon": "password: ",
    "passwords for long names": "password for aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "elements": "<password ",
    "addresses": "://a:",
    "verbs": "ignore ",
    "verbs and fillers": "ignore all the previous ",
    "new roles": "you are now ",
    "requests to show": "show me the full ",
    "prompts": "your system ",
    "spaced letters": "i g n o r e ",
    "pairs of letters": "a b ",
    "role marks": "<|im_start|>",
    "openings": "<|",
    "headings": "### ",
    "zero-width characters": "a\u200b",
    "digits and zero-width characters": "1\u200b",
    "split words": "ignore\u200b",
    "tags": "\U000e0041",
    "marks": "e\u0301",
    "lone surrogates": "\ud800",
    "addresses that touch": "bob@example.com,",
    "findings that touch": "bob@example.com123-45-6789password:hunter2",
    "ideographs": "的一是",
    "emoji": "\U0001f600",
    "line ends": "\n",
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_a_long_text_of_the_same_is_scanned(unit):
    text = (unit * (SIZE // len(unit) + 1))[:SIZE]
    assert all(span.end <= len(text) for span in SCAN(text))


@pytest.mark.timeout(30)
def test_an_address_behind_very_many_letters_is_found():
    text = "a" * SIZE + "@example.com"
    assert [(span.type, span.end) for span in SCAN(text)] == [("email", len(text))]
