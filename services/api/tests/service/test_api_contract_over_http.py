"""The real api through ApiClient keeps the contract that the in-memory one keeps."""

from __future__ import annotations

from shared.testing.api_contract import ApiContract
from shared.testing.api_dead_letter_contract import ApiDeadLetterContract
from shared.testing.api_run_contract import ApiRunContract


class TestApiOverHttp(ApiContract):
    pass


class TestApiRunsOverHttp(ApiRunContract):
    pass


class TestApiDeadLettersOverHttp(ApiDeadLetterContract):
    pass
