"""Whom a client's connections trust."""

from __future__ import annotations

import ssl

from shared.clients.http import TRUST_NOBODY, trust_for


def test_a_client_of_a_tls_server_trusts_what_this_host_trusts() -> None:
    assert trust_for("https://api.github.com") is True


def test_a_client_of_plain_http_loads_no_certificates_and_would_refuse_every_tls_server() -> None:
    assert trust_for("http://api:8000") is TRUST_NOBODY
    assert TRUST_NOBODY.get_ca_certs() == []
    assert (TRUST_NOBODY.verify_mode, TRUST_NOBODY.check_hostname) == (ssl.CERT_REQUIRED, True)
