"""TLS: certificates and names are verified, always; what does not verify is no outage."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted import answer

from checkrein import Effect
from checkrein.errors import EngineFailure, PolicyLoadError

NOW = dt.datetime.now(dt.UTC)


class Authority:
    """A certificate authority and what it signs, as PEM files in one folder."""

    def __init__(self, folder, name):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key(), [], ca=True)
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name, *addresses, password=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses] or [x509.DNSName(name)]
        certificate = self._sign(subject, key.public_key(), names, ca=False)
        cert, secret = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        secret.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        )
        return cert, secret

    def _sign(self, subject, key, names, *, ca):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=1))
            .not_valid_after(NOW + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    return {
        "ours": ours,
        "other": other,
        "here": ours.issue("here", "127.0.0.1"),
        "elsewhere": ours.issue("opa.example"),
        "foreign": other.issue("foreign", "127.0.0.1"),
        "client": ours.issue("client"),
        "stranger": other.issue("stranger"),
        "locked": ours.issue("locked", password=b"pass"),
    }


def serving(pair, authority=None, newest=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.maximum_version = newest
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    return context


@pytest.fixture
def secured(opa, engine_of, permitting, pki):
    """Starts an OPA with a certificate and makes an engine that trusts an authority."""

    def start(served="here", trusted="ours", *, clients=None, newest=ssl.TLSVersion.TLSv1_3, **options):
        server = opa(permitting, tls=serving(pki[served], pki[clients] if clients else None, newest))
        tls = {"ca": pki[trusted].ca} if trusted else {}
        if "client" in options:
            tls |= dict(zip(("cert", "key"), pki[options.pop("client")], strict=True))
        return server, engine_of(server, tls=tls, **options)

    return start


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_verified_opa_is_asked_over_one_kept_connection(secured, ask, question, newest):
    _, engine = secured(newest=newest)
    ports = set()
    for _ in range(5):
        assert ask(engine, question()).effect is Effect.PERMIT
        (kept,) = engine._client._idle
        ports.add(kept.sock.getsockname())
    assert len(ports) == 1


@pytest.mark.parametrize(
    "case", [("here", "other"), ("elsewhere", "ours"), ("foreign", "ours"), ("here", None)]
)
def test_an_opa_that_does_not_verify_is_not_asked_and_is_no_outage(secured, ask, question, case):
    server, engine = secured(*case)
    with pytest.raises(EngineFailure, match="CERTIFICATE_VERIFY_FAILED") as caught:
        ask(engine, question())
    assert caught.value.cause == "engine_error"
    assert server.requests == []


def test_an_opa_that_asks_for_our_certificate_gets_it(secured, ask, question):
    _, engine = secured(clients="ours", client="client")
    assert ask(engine, question()).effect is Effect.PERMIT


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", [{}, {"client": "stranger"}])
def test_an_opa_that_refuses_our_certificate_is_no_outage(secured, ask, question, who, newest):
    server, engine = secured(clients="ours", newest=newest, **who)
    with pytest.raises(EngineFailure, match="check `url` and `tls`") as caught:
        ask(engine, question())
    assert caught.value.cause == "engine_error"
    assert server.requests == []


def test_tls_where_none_is_spoken_is_no_outage(opa, engine_of, ask, question):
    engine = engine_of(opa().url.replace("http:", "https:"))
    with pytest.raises(EngineFailure, match="TLS: ") as caught:
        ask(engine, question())
    assert caught.value.cause == "engine_error"


def test_no_tls_where_it_is_spoken_never_permits(secured, engine_of, ask, question):
    server, _ = secured()
    with pytest.raises(EngineFailure):
        ask(engine_of(server.url.replace("https:", "http:")), question())
    assert server.requests == []


def test_a_handshake_that_never_ends_is_a_timeout(scripted, engine_of, ask, question):
    server = scripted(lambda _: None, greet=lambda call: call.hang())
    engine = engine_of(server.url.replace("http:", "https:"), timeout=0.1)
    with pytest.raises(EngineFailure) as caught:
        ask(engine, question())
    assert caught.value.cause == "timeout"


def test_a_handshake_that_is_cut_is_an_outage(scripted, engine_of, ask, question):
    server = scripted(lambda _: None, greet=lambda call: call.close())
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server.url.replace("http:", "https:")), question())
    assert caught.value.cause == "unreachable"


def test_large_questions_and_many_at_once_go_through(secured, question):
    _, engine = secured(input=["context.prompt.text"])
    asked = question("ü" * 400_000)
    with ThreadPoolExecutor(8) as pool:
        answers = [one.result() for one in [pool.submit(engine.evaluate, asked) for _ in range(16)]]
    assert {one.effect for one in answers} == {Effect.PERMIT}

    async def many():
        return await asyncio.gather(*(engine.aevaluate(asked) for _ in range(16)))

    assert {one.effect for one in asyncio.run(many())} == {Effect.PERMIT}


def test_a_cut_in_the_clear_under_tls_is_an_outage(engine_of, ask, question, pki, opened):
    """An end of the connection that TLS does not vouch for: an attacker can bring that about."""
    context = serving(pki["here"])
    listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))

    def serve():
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True) as sock:
            sock.recv(65536)
            sock.sendall(answer(b'{"result":true}' + b" " * 100)[:-50])

    threading.Thread(target=serve, daemon=True).start()
    engine = engine_of(f"https://127.0.0.1:{listener.getsockname()[1]}", tls={"ca": pki["ours"].ca})
    with pytest.raises(EngineFailure) as caught:
        ask(engine, question())
    assert caught.value.cause == "unreachable"


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (lambda pki: {"ca": pki["here"][1]}, "`tls.ca`"),
        (lambda pki: {"cert": pki["here"][0], "key": pki["client"][1]}, "`tls.cert`"),
        (lambda pki: {"cert": pki["here"][0]}, "`tls.cert`"),
        # Without a word for it, OpenSSL would ask on the terminal and wait for ever.
        (lambda pki: {"cert": pki["locked"][0], "key": pki["locked"][1]}, "not encrypted"),
    ],
)
def test_certificates_that_do_not_load_are_an_error_at_load(engine_of, pki, tls, message):
    with pytest.raises(PolicyLoadError, match=message):
        engine_of("https://opa.example", tls={key: str(path) for key, path in tls(pki).items()})
