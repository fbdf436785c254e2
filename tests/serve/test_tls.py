"""TLS on the gateway's own port: answers over it, what is no TLS, certificates that change."""

import asyncio
import json
import logging
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
from live_gateway import CHUNK, DONE, Engine, exchange, parsed, run, several

from tokenworks.api import load
from tokenworks.errors import InputError
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.http.tls import Certificate
from tokenworks.serve.start import Door, front

PLAIN = json.dumps({"model": "chat", "messages": []}).encode()
STREAM = json.dumps({"model": "chat", "messages": [], "stream": True}).encode()


def issue(folder, authority):
    """A fresh certificate for this machine, in two files."""
    made = authority.issue_cert("127.0.0.1")
    (folder / "key.pem").write_bytes(made.private_key_pem.bytes())
    (folder / "cert.pem").write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
    return Certificate(folder / "cert.pem", folder / "key.pem")


def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def secure(tmp_path, certificate):
    async with several([Engine()]) as ports:
        rows = [{"service": "chat", "url": f"http://127.0.0.1:{ports[0]}"}]
        factory = load("laptop").replace_all({"serve": {"upstreams": rows, "drain": "200 ms"}})
        services = services_of(factory, upstreams_of(factory))
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            door = Door(certificate=certificate)
            async with GroupCommit(ledger) as group, front(factory, services, group, None, door) as listening:
                yield listening.port


async def ask(port, context, body=PLAIN, more=""):
    """(parsed answer, serial number of the certificate)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    serial = writer.get_extra_info("peercert")["serialNumber"]
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = parsed(await reader.read())
    writer.close()
    await writer.wait_closed()
    return answer, serial


def test_answers_and_streams_come_over_tls(tmp_path):
    authority = trustme.CA()

    async def case():
        async with secure(tmp_path, issue(tmp_path, authority)) as port:
            context = trusting(authority)
            return [(await ask(port, context, body))[0] for body in (PLAIN, STREAM)]

    plain, stream = run(case())
    assert (plain[0], stream[0], stream[2]) == (200, 200, CHUNK * 3 + DONE)


def test_what_is_refused_is_said_over_tls_and_the_connection_ends(tmp_path, caplog):
    authority = trustme.CA()

    async def case():
        async with secure(tmp_path, issue(tmp_path, authority)) as port:
            return (await ask(port, trusting(authority), more="Content-Length: 1\r\n"))[0]

    status, _, body = run(case())
    assert status == 400
    assert b"error" in body
    assert caplog.text == ""  # no half-closed connection was tried


def test_what_is_no_tls_and_who_trusts_nobody_is_closed_and_others_are_served(tmp_path, caplog):
    authority = trustme.CA()

    async def case():
        async with secure(tmp_path, issue(tmp_path, authority)) as port:
            came = await exchange(port, b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask(port, ssl.create_default_context())
            old = trusting(authority)
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            return came, (await ask(port, trusting(authority)))[0][0], (await ask(port, old))[0][0]

    with caplog.at_level(logging.WARNING):
        came, status, status_12 = run(case())
    assert b"HTTP/1.1" not in came  # an alert at most, never an answer in the clear
    assert (status, status_12) == (200, 200)
    assert "Traceback" not in caplog.text


def test_a_changed_certificate_is_taken_over_and_a_broken_one_is_not(tmp_path):
    authority = trustme.CA()
    certificate = issue(tmp_path, authority)

    async def case():
        async with secure(tmp_path, certificate) as port:
            context = trusting(authority)
            serials = [(await ask(port, context))[1]]
            issue(tmp_path, authority)
            said = [certificate.refresh()]
            serials.append((await ask(port, context))[1])
            (tmp_path / "key.pem").write_bytes(authority.issue_cert("127.0.0.1").private_key_pem.bytes())
            said.append(certificate.refresh())
            serials.append((await ask(port, context))[1])
            return serials, said

    (first, second, third), (good, bad) = run(case())
    assert first != second == third
    assert good == ""
    assert "no certificate and its key" in bad


def test_files_that_are_no_certificate_are_refused(tmp_path):
    certificate = issue(tmp_path, trustme.CA())
    assert certificate.refresh() == ""
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(InputError, match="no certificate and its key"):
        Certificate(tmp_path / "junk.pem", tmp_path / "key.pem")
    with pytest.raises(InputError, match="no such file"):
        Certificate(tmp_path / "none.pem", tmp_path / "key.pem")
