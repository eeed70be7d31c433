"""E-mail addresses and US Social Security numbers: what is one, and what only looks like one."""

# ruff: noqa: RUF001 -- look-alike characters are the subject

import pytest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to bob@example.com.", ["bob@example.com"]),
        ("bob@example.com", ["bob@example.com"]),
        ("<bob.o'neil+news@mail.example.co.uk>", ["bob.o'neil+news@mail.example.co.uk"]),
        ("mailto:bob@example.com?subject=hi", ["bob@example.com"]),
        ("email=bob@example.com&x=1", ["bob@example.com"]),
        ('{"email": "BOB@EXAMPLE.COM"}', ["BOB@EXAMPLE.COM"]),
        ("bob@example.com,eve@example.org", ["bob@example.com", "eve@example.org"]),
        ("bob@example.com;eve@example.org", ["bob@example.com", "eve@example.org"]),
        ("bob@example.com-eve@example.org", ["bob@example.com-eve@example.org"]),
        ("**bob@example.com**", ["bob@example.com"]),
        ("'bob@example.com'", ["bob@example.com"]),
        ("(bob@example.com)", ["bob@example.com"]),
        ("bob@example.com!", ["bob@example.com"]),
        ("bob_smith@ex-ample.io is new", ["bob_smith@ex-ample.io"]),
        ("x@xn--bcher-kva.example", ["x@xn--bcher-kva.example"]),
        ("a@b.co", ["a@b.co"]),
        ("bob@example.com2 is odd", ["bob@example.com"]),
        ("josé@example.com", ["josé@example.com"]),
        ("müller@bücher.example", ["müller@bücher.example"]),
        ("пишите на иван@почта.рф, спасибо", ["иван@почта.рф"]),
        ("маша@example.com", ["маша@example.com"]),
        ("联系我bob@example.com谢谢", ["bob@example.com"]),
        ("请联系 用户@例子.广告", ["用户@例子.广告"]),
        ("bob＠example．com", ["bob＠example．com"]),
        ("bob@example。com", ["bob@example。com"]),
    ],
)
def test_an_address_is_found_to_its_last_character(found, text, expected):
    assert found("email", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "meet @ noon",
        "@bob said hi",
        "bob@localhost",
        "bob@",
        "@example.com",
        "react@18.2.0",
        "lodash@^4.17.21",
        "user@192.168.0.1",
        "logo@2x.png",
        "icon@3x.webp is large",
        "git@github.com:team/project.git",
        "a@b.c",
        "matrix a@b@c",
        "name..@example.com",
        "@app.route('/users')",
        "price: 3 @ 4.50",
        "https://medium.com/@bob/post",
        "bob at example dot com",
        "",
    ],
)
def test_what_is_no_address_is_left_alone(found, text):
    assert found("email", text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123-45-6789", ["123-45-6789"]),
        ("SSN: 123-45-6789.", ["123-45-6789"]),
        ("SSN123-45-6789", ["123-45-6789"]),
        ("ssn-123-45-6789", ["123-45-6789"]),
        ("it is 123 45 6789 ok", ["123 45 6789"]),
        ("123 - 45 - 6789", ["123 - 45 - 6789"]),
        ("123-45-6789,123-45-6788", ["123-45-6789", "123-45-6788"]),
        ("123-45-6789 123-45-6788", ["123-45-6789", "123-45-6788"]),
        ("123-45-6789\n123-45-6788", ["123-45-6789", "123-45-6788"]),
        ("(123-45-6789)", ["123-45-6789"]),
        ("ssn=123456789", ["123456789"]),
        ("my SSN is 123456789", ["123456789"]),
        ("user_ssn: '123456789'", ["123456789"]),
        ("userSSN: 123456789", ["123456789"]),
        ("my social security number is 123456789.", ["123456789"]),
        ("What is your SSN?\n123456789", ["123456789"]),
        ("Social-Security-Number 123 456789", []),
        ("SSN 123.45.6789", ["123.45.6789"]),
        ("ssn 123/45/6789", ["123/45/6789"]),
        ("123456789 is my SSN", ["123456789"]),
        ("123456789 (ssn)", ["123456789"]),
        ("SSNs: 123456789, 123456788 and 123456787", ["123456789", "123456788", "123456787"]),
        ("123\u201345\u20136789", ["123\u201345\u20136789"]),
        ("123\u00a045\u00a06789", ["123\u00a045\u00a06789"]),
        ("社保号123-45-6789。", ["123-45-6789"]),
        ("899-99-9999", ["899-99-9999"]),
        ("001-01-0001", ["001-01-0001"]),
    ],
)
def test_a_social_security_number_is_found(found, text, expected):
    assert found("us_ssn", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "999-99-9999",
        "123-00-4567",
        "123-45-0000",
        "ssn 000123456",
        "ssn 666123456",
        "ssn 912345678",
        "ssn 123004567",
        "ssn 123450000",
        "123456789",
        "order 123456789",
        "1123-45-6789",
        "123-45-67890",
        "1-123-45-6789",
        "123-45-6789-1",
        "4.123-45-6789",
        "part AB123-45-6789",
        "part AB-123-45-6789",
        "12 123 45 6789",
        "123 45 6789 10",
        "123-456-7890",
        "12-345-6789",
        "2024-01-15",
        "ISBN 978-3-16-148410-0",
        "12345-6789",
        "Social Security Administration, Baltimore, MD 21235-0001",
        "className 123456789",
        "my ssn ends in 6789",
        "social security reform of 1983",
        "550e8400-e29b-41d4-a716-446655440000",
        "[REDACTED:us_ssn] 123456789",
        "the lesson: 123456789",
    ],
)
def test_another_number_is_no_social_security_number(found, text):
    assert found("us_ssn", text) == []
