"""API keys: the issuers' shapes, tokens, and values that a word calls a key. The samples are made up.

A `|` marks where a sample is put together, so that no scanner of this repository takes it for a leak.
"""

# ruff: noqa: RUF001 -- look-alike characters are the subject

import pytest

KEYS = [
    "sk|-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL",
    "sk|-proj-AbC123dEf456_GhI789jKl012-MnO345pQr678sTu901",
    "sk|-svcacct-AbC123dEf456GhI789jKl012",
    "sk|-ant-api03-AbC123dEf456GhI789jKl012MnO345pQr678-AAAAAAAA",
    "sk|-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "AKIA|IOSFODNN7EXAMPLE",
    "ASIA|IOSFODNN7EXAMPLE",
    "ghp|_abcdefghijklmnopqrstuvwxyz0123456789",
    "gho|_abcdefghijklmnopqrstuvwxyz0123456789",
    "ghs|_abcdefghijklmnopqrstuvwxyz0123456789",
    "github|_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789",
    "xoxb|-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
    "xoxp|-123456789012-1234567890123-abcdef",
    "xapp|-1-A0123456789-1234567890123-abcdef",
    "AIza|SyA1234567890abcdefghijklmnopqrstuv",
    "GOCSPX|-abcdefghijklmnopqrstuvwxyz01",
    "ya29|.a0AfH6SMBabcdefghijklmnop",
    "sk_live|_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_live|_4eC39HqLyjWDarjtT1zdp7dc",
    "sk_test|_4eC39HqLyjWDarjtT1zdp7dc",
    "whsec|_abcdefghijklmnopqrstuvwxyz012345",
    "glpat|-abcdefghij0123456789",
    "gldt|-abcdefghij0123456789",
    "hf|_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "npm|_abcdefghijklmnopqrstuvwxyz0123456789",
    "pypi|-AgEIcHlwaS5vcmcCJGFiY2RlZmdoLWlqa2wtbW5vcC1xcnN0LXV2d3h5ejAxMjM0",
    "dop_v1|_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "shpat|_0123456789abcdef0123456789abcdef",
    "SG|.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "dapi|0123456789abcdef0123456789abcdef",
    "hvs|.abcdefghijklmnopqrstuvwxyz0123",
    "123456789|:AAabcdefghijklmnopqrstuvwxyz0123456",
    "AGE-SECRET-KEY|-1QQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQPQQP",
    "eyJhbGciOiJIUzI1NiJ9|.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "eyJhbGciOiJIUzI1NiJ9|.eyJzdWIiOiIxMjM0NTY3ODkwIn0",
]


@pytest.mark.parametrize("sample", KEYS)
@pytest.mark.parametrize("frame", ["{}", "use {}.", "key={}&x=1", '"{}"', "({})", "密钥{}。", "a\n{}\nb"])
def test_an_issuers_key_is_found_whole(found, sample, frame):
    key = sample.replace("|", "")
    pieces = found("api_key", frame.format(key))
    assert [piece.rstrip(".") for piece in pieces] == [key]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api_key = 0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("api_key='0123456789abcdef0123'", ["0123456789abcdef0123"]),
        ('"apiKey": "0123456789abcdef0123"', ["0123456789abcdef0123"]),
        ("API-KEY: 0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("x-api-key: 0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("my api key is 0123456789abcdef0123.", ["0123456789abcdef0123"]),
        ("the api key for billing is 0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("MY_SERVICE_API_KEY=0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("api_key: str = '0123456789abcdef0123'", ["0123456789abcdef0123"]),
        ("client_secret=0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("access_token: 0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("token=0123456789abcdef0123;x", ["0123456789abcdef0123"]),
        ("Authorization: Bearer 0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("api_key: 550e8400-e29b-41d4-a716-446655440000", ["550e8400-e29b-41d4-a716-446655440000"]),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
         ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]),
        ("AccountKey=abcd1234efgh5678ijkl9012mnop==;EndpointSuffix=x", ["abcd1234efgh5678ijkl9012mnop=="]),
        ("api\u200b_key = 0123456789\u200babcdef0123", ["0123456789\u200babcdef0123"]),
        ("аpi_key = 0123456789abcdef0123", ["0123456789abcdef0123"]),
    ],
)  # fmt: skip
def test_a_random_value_that_a_word_calls_a_key_is_found(found, text, expected):
    assert found("api_key", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'api_key = os.environ["OPENAI_API_KEY"]',
        "api_key=os.getenv('OPENAI_API_KEY_2024_PRODUCTION')",
        "api_key: str",
        "api_key: Optional[str] = None",
        "api_key=YOUR_API_KEY_HERE_PLEASE",
        'api_key = "<your api key>"',
        "api_key = settings.OPENAI_API_KEY_V2",
        "api_key: ${OPENAI_API_KEY}",
        "api_key: [REDACTED:api_key]",
        "[REDACTED:api_key]: 0123456789abcdef0123",
        "[REDACTED:private_key]: 0123456789abcdef0123",
        "where do I put my api key?",
        "max_tokens: 1234567890123456",
        "token: 1234567890123456",
        "tokenizer: 0123456789abcdef0123",
        "key: value-of-the-configuration-2",
        "primary key = 0123456789abcdef0123",
        "sk-learn-pipeline-with-a-very-long-name",
        "private_key: Ed25519PrivateKey | Ed448PrivateKey",
        "sk-ecdsa-sha2-nistp256",
        "task-0123456789abcdef0123",
        "sk-2024-report-final-version-3",
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLEX",
        "MAKIAIOSFODNN7EXAMPLE",
        "ghp_short",
        "hf_hub_download(repo_id='x')",
        "npm_config_registry",
        "xoxo, see you",
        "eyJhbGciOiJIUzI1NiJ9",
        "550e8400-e29b-41d4-a716-446655440000",
        "commit 5f4dcc3b5aa765d61d8327deb882cf99a1b2c3d4",
        "sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "secret: https://vault.example.com/v1/abc123def456",
        "the secret of happiness is 42",
        "bearer of bad news 2024",
        "pk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "",
    ],
)
def test_names_references_and_hashes_are_left_alone(found, text):
    assert found("api_key", text) == []
