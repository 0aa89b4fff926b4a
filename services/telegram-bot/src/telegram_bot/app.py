"""The bot's composition root."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from shared.clients.api import ApiClient
from shared.contracts.queues.events import RunEvent
from shared.contracts.topology import ADMIN_NOTIFICATIONS, RUN_EVENTS, WORKER_RESPONSES_PO
from shared.infra import SystemClock
from shared.redis.client import RedisStreamClient
from shared.redis.subscription import StreamSub
from shared.runtime.service import Compose, Composition
from telegram_bot.access import AccessList
from telegram_bot.admins import Admins
from telegram_bot.chat import TelegramChat
from telegram_bot.commands import Commands
from telegram_bot.lanes import Lanes
from telegram_bot.listeners import GROUP, Listeners
from telegram_bot.progress import Progress
from telegram_bot.sender import Sender
from telegram_bot.sessions import Sessions
from telegram_bot.settings import BotSettings
from telegram_bot.updates import Updates

LANE_SECONDS = 2.0
FLUSH_SECONDS = 0.5


def composer(settings: BotSettings) -> Compose:
    """Return the compose function of one bot process."""

    async def compose(composition: Composition) -> None:
        access = AccessList.parse(settings.telegram_allowed_users, settings.telegram_admins)
        clock = SystemClock()
        api = ApiClient(settings.api_url, settings.api_token.get_secret_value())
        composition.stack.push_async_callback(api.aclose)
        bus = RedisStreamClient(url=settings.redis_url.get_secret_value(), service=GROUP)
        composition.stack.push_async_callback(bus.close)
        redis = Redis.from_url(settings.redis_url.get_secret_value(), client_name=GROUP)
        composition.stack.push_async_callback(redis.aclose)
        chat = TelegramChat.connect(settings.telegram_bot_token.get_secret_value(), settings.telegram_api_url)
        await chat.open()
        composition.stack.push_async_callback(chat.close)

        consumer = f"{GROUP}-{settings.service_replica}"
        sessions = Sessions(redis, bus, settings.agent_type)
        sender = Sender(chat, api)
        lanes = Lanes(api, bus, sessions, sender, clock, settings.agent_type, settings.turn_timeout_seconds)
        progress = Progress(api, sender, clock, settings.edit_interval_seconds)
        updates = Updates(chat, api, access, Commands(api, sessions), lanes, sender, sessions)
        admins = Admins(api, sender)

        async def poll(stop: asyncio.Event) -> None:
            await updates.run(stop, consumer, clock, settings.poll_seconds)

        composition.loop("updates", poll)
        composition.loop("listeners", Listeners(bus, lanes, sessions, consumer).run)
        composition.periodic("lanes", lanes.advance_all, interval_seconds=LANE_SECONDS)
        composition.periodic("progress", progress.flush, interval_seconds=FLUSH_SECONDS)
        composition.consume(
            bus, StreamSub(WORKER_RESPONSES_PO, GROUP, consumer, lanes.on_response, concurrency=1, service=GROUP)
        )
        composition.consume(
            bus, StreamSub(RUN_EVENTS, GROUP, consumer, progress.on_event, ordering_key=_run_of, service=GROUP)
        )
        composition.consume(
            bus, StreamSub(ADMIN_NOTIFICATIONS, GROUP, consumer, admins.on_notification, concurrency=1, service=GROUP)
        )

    return compose


def _run_of(event: RunEvent) -> str:
    return event.run_id
