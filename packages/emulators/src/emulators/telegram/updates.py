"""Hands updates to the bot: long polling with confirmation and conflicts, or a webhook."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx
from pydantic import TypeAdapter

from emulators.telegram.errors import BotApiError
from emulators.telegram.models import Webhook
from emulators.telegram.store import JsonObject, Store

WEBHOOK = "webhook"
ALLOWED = "allowed_updates"
LARGEST_WAIT_SECONDS = 50.0
FIRST_RETRY_SECONDS = 1.0
LARGEST_RETRY_SECONDS = 60.0

_NAMES = TypeAdapter(list[str])


class Bell:
    """Wakes everything that waits for news; wait on what next() gave before looking."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Return the event the next ring sets."""
        return self._event

    def ring(self) -> None:
        """Wake all who wait."""
        self._event.set()
        self._event = asyncio.Event()


async def wait_for_ring(event: asyncio.Event, seconds: float) -> bool:
    """Wait for a ring; False when the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class UpdateQueue:
    """The updates the bot has not confirmed yet."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._bell = bell
        self._newest_poll = 0

    def webhook(self) -> Webhook:
        """Return the webhook; one with an empty url when none is set."""
        kept = self._store.setting(WEBHOOK)
        return Webhook(url="") if kept is None else Webhook.model_validate_json(kept)

    def set_webhook(self, webhook: Webhook) -> None:
        """Keep a webhook; an empty url removes it."""
        self._store.put_setting(WEBHOOK, webhook.model_dump_json() if webhook.url else None)
        self._bell.ring()

    def allow(self, kinds: Sequence[str] | None) -> None:
        """Keep the kinds of updates the bot wants; None leaves what was wanted before."""
        if kinds is not None:
            self._store.put_setting(ALLOWED, _NAMES.dump_json(list(kinds)).decode())

    async def poll(self, offset: int, limit: int, wait_seconds: float) -> list[JsonObject]:
        """Confirm below the offset and return the next updates, after a wait for the first one.

        Raises BotApiError 409 while a webhook is set, and when a later poll takes over.
        """
        if self.webhook().url:
            raise BotApiError.conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        self._newest_poll += 1
        this_poll = self._newest_poll
        self._bell.ring()
        if offset > 0:
            self._store.confirm_updates(offset)
        elif offset < 0:
            self._store.confirm_all_but_last(-offset)
        deadline = time.monotonic() + min(wait_seconds, LARGEST_WAIT_SECONDS)
        while True:
            news = self._bell.next()
            updates = self.next_updates(limit)
            left = deadline - time.monotonic()
            if updates or left <= 0 or not await wait_for_ring(news, left):
                return updates
            if this_poll != self._newest_poll:
                raise BotApiError.conflict(
                    "terminated by other getUpdates request; make sure that only one bot instance is running"
                )

    def next_updates(self, limit: int) -> list[JsonObject]:
        """Return pending updates of wanted kinds; unwanted ones are dropped, as Telegram does not keep them."""
        kept = self._store.setting(ALLOWED)
        wanted = _NAMES.validate_json(kept) if kept else []
        pending = self._store.pending_updates(limit)
        chosen: list[JsonObject] = []
        for update_id, kind, body in pending:
            if not wanted or kind in wanted:
                chosen.append({"update_id": update_id, kind: body})
            elif not chosen:
                self._store.confirm_updates(update_id + 1)
        return chosen if chosen or not pending else self.next_updates(limit)


class WebhookSender:
    """Pushes updates in order, one at a time, and tries again until the bot answers 2xx."""

    def __init__(self, queue: UpdateQueue, store: Store, bell: Bell, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._store = store
        self._bell = bell
        self._clock = clock

    async def run(self) -> None:
        """Push until cancelled."""
        retry_seconds = FIRST_RETRY_SECONDS
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                news = self._bell.next()
                webhook = self._queue.webhook()
                updates = self._queue.next_updates(1) if webhook.url else []
                if not updates:
                    await news.wait()
                elif await self._push(client, webhook, updates[0]):
                    retry_seconds = FIRST_RETRY_SECONDS
                else:
                    await wait_for_ring(news, retry_seconds)
                    retry_seconds = min(retry_seconds * 2, LARGEST_RETRY_SECONDS)

    async def _push(self, client: httpx.AsyncClient, webhook: Webhook, update: JsonObject) -> bool:
        headers = {"X-Telegram-Bot-Api-Secret-Token": webhook.secret_token} if webhook.secret_token else {}
        try:
            response = await client.post(webhook.url, json=update, headers=headers)
        except httpx.HTTPError as error:
            self._note_failure(webhook, f"Connection failed: {error!r}")
            return False
        if not response.is_success:
            self._note_failure(webhook, f"Wrong response from the webhook: {response.status_code}")
            return False
        self._store.confirm_updates(int(str(update["update_id"])) + 1)
        return True

    def _note_failure(self, webhook: Webhook, why: str) -> None:
        noted = webhook.model_copy(update={"last_error_date": int(self._clock()), "last_error_message": why})
        # Without a ring: it would end the wait before the next try.
        self._store.put_setting(WEBHOOK, noted.model_dump_json())
