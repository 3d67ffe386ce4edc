"""Mail to servers that want TLS and a login: the password is a file's, and goes nowhere else."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from ostler.manager import mail, smtp
from ostler.manager.found import Found
from ostler.model.errand import Mail, Outcome
from ostler.model.errors import Refused
from tests.e2e.sinks import Sink, smtp_sink

PASSWORD = "open sesame"
OPENSSL = shutil.which("openssl") or ""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with key.pem and cert.pem, of nobody's authority, for 127.0.0.1."""
    if not OPENSSL:
        pytest.skip("openssl makes the certificate, and is not here")
    folder = tmp_path_factory.mktemp("keys")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    whose = ("-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run(
        [OPENSSL, "req", "-x509", *kind, *whose, *files],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def served(keys: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(keys / "cert.pem", keys / "key.pem")
    return context


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{PASSWORD}\n")
    path.chmod(0o600)
    return path


def a_mail(sink: Sink, **how: object) -> Mail:
    work = Mail(0, 0, "ann@example.org", "done", "body\n", "i", "", f"127.0.0.1:{sink.port}", "")
    return replace(work, **{name: str(value) for name, value in how.items()})


def send(work: Mail) -> Found:
    return mail.send(work, "ostler@here", mail.compose(work, "ostler@here"), smtp.way(work))


@pytest.mark.parametrize("at_once", [False, True])
def test_a_server_that_wants_tls_and_a_login_gets_both(
    keys: Path,
    served: ssl.SSLContext,
    secret: Path,
    at_once: bool,  # noqa: FBT001
) -> None:
    with smtp_sink(served, at_once=at_once, password=PASSWORD) as sink:
        security = "tls" if at_once else ""  # with a login nothing less than STARTTLS
        how = {"security": security, "login": "ostler", "password_file": secret}
        assert send(a_mail(sink, ca=keys / "cert.pem", **how)).result is Outcome.SUCCESS
        assert sink.next()["To"] == "ann@example.org"


def test_why_a_server_took_no_mail_is_told_without_the_password(
    keys: Path, served: ssl.SSLContext, secret: Path
) -> None:
    how = {"login": "ostler", "password_file": secret}
    with smtp_sink(served, password=PASSWORD) as sink:
        untrusted = send(a_mail(sink, **how))
        assert untrusted.result is Outcome.FAILED
        assert "is not trusted: self" in untrusted.reason
        secret.write_text("guess\n")
        wrong = send(a_mail(sink, ca=keys / "cert.pem", **how))
        assert (wrong.result, wrong.exit_status) == (Outcome.HOPELESS, None)
        assert wrong.reason.endswith("refused the login of ostler with 535")
    with smtp_sink() as sink:
        plain = send(a_mail(sink, **how))
        assert plain.result is Outcome.HOPELESS
        assert plain.reason.endswith("does not offer STARTTLS or a login")
        assert sink.got.empty()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"security": "plain"}, "no password goes in the clear"),
        ({"password_file": ""}, "needs smtp-password-file"),
        ({"password_file": "/nowhere"}, "/nowhere cannot be read: No such file"),
        ({"ca": "/nowhere"}, "smtp-ca-file /nowhere cannot be read"),
    ],
)
def test_a_login_that_cannot_be_made_safely_is_not_made(
    secret: Path, how: dict[str, object], sentence: str
) -> None:
    work = a_mail(Sink(1, None), **({"login": "ostler", "password_file": secret} | how))  # type: ignore[arg-type] # nothing comes
    with pytest.raises(Refused, match=sentence):
        smtp.way(work)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_password_that_others_can_read_is_not_used(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(Refused, match="with mode 600") as found:
        smtp.way(a_mail(Sink(1, None), login="ostler", password_file=secret))  # type: ignore[arg-type] # nothing comes
    assert PASSWORD not in str(found.value)
