"""The real api through ApiClient keeps the contract that the in-memory one keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.clients.api import ApiClient
from shared.testing.api_contract import ApiContract
from shared.testing.api_dead_letter_contract import ApiDeadLetterContract
from shared.testing.api_process import running_api
from shared.testing.api_run_contract import ApiRunContract


class TestApiOverHttp(ApiContract):
    pass


class TestApiRunsOverHttp(ApiRunContract):
    pass


class TestApiDeadLettersOverHttp(ApiDeadLetterContract):
    """Requests stay what they are where no relay carries them out."""

    @pytest.fixture
    async def api(self, database_url: str) -> AsyncIterator[ApiClient]:
        async with running_api(database_url, is_migrated=True) as process:
            async with ApiClient(process.base_url, process.service_token(), retry_seconds=5) as client:
                yield client
