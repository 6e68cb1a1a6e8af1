"""OpenAI's models: their names, what they answer as, how much they read, and what they cost."""

from decimal import Decimal
from typing import NamedTuple

from yiapi_sandbox.books import NANO


class Chat(NamedTuple):
    """One chat model: the snapshot it answers as, its context in tokens, and USD per million tokens in and out."""

    snapshot: str
    context: int
    input_usd: str
    output_usd: str


CHATS: dict[str, Chat] = {
    "gpt-4o": Chat("gpt-4o-2024-08-06", 128_000, "2.50", "10"),
    "gpt-4o-2024-08-06": Chat("gpt-4o-2024-08-06", 128_000, "2.50", "10"),
    "gpt-4o-2024-11-20": Chat("gpt-4o-2024-11-20", 128_000, "2.50", "10"),
    "gpt-4o-mini": Chat("gpt-4o-mini-2024-07-18", 128_000, "0.15", "0.60"),
    "gpt-4o-mini-2024-07-18": Chat("gpt-4o-mini-2024-07-18", 128_000, "0.15", "0.60"),
    "chatgpt-4o-latest": Chat("chatgpt-4o-latest", 128_000, "5", "15"),
    "gpt-4.1": Chat("gpt-4.1-2025-04-14", 1_047_576, "2", "8"),
    "gpt-4.1-mini": Chat("gpt-4.1-mini-2025-04-14", 1_047_576, "0.40", "1.60"),
    "gpt-4.1-nano": Chat("gpt-4.1-nano-2025-04-14", 1_047_576, "0.10", "0.40"),
    "gpt-4-turbo": Chat("gpt-4-turbo-2024-04-09", 128_000, "10", "30"),
    "gpt-4": Chat("gpt-4-0613", 8_192, "30", "60"),
    "gpt-3.5-turbo": Chat("gpt-3.5-turbo-0125", 16_385, "0.50", "1.50"),
    "gpt-5": Chat("gpt-5-2025-08-07", 400_000, "1.25", "10"),
    "gpt-5-mini": Chat("gpt-5-mini-2025-08-07", 400_000, "0.25", "2"),
    "gpt-5-nano": Chat("gpt-5-nano-2025-08-07", 400_000, "0.05", "0.40"),
    "o1": Chat("o1-2024-12-17", 200_000, "15", "60"),
    "o3": Chat("o3-2025-04-16", 200_000, "2", "8"),
    "o3-mini": Chat("o3-mini-2025-01-31", 200_000, "1.10", "4.40"),
    "o4-mini": Chat("o4-mini-2025-04-16", 200_000, "1.10", "4.40"),
    "gpt-4-all": Chat("gpt-4-all", 128_000, "30", "60"),
    "gpt-4o-all": Chat("gpt-4o-all", 128_000, "5", "15"),
}
GIZMO = "gpt-4-gizmo-g-"
"""A GPT of somebody, by its id."""

OTHERS = (
    "gpt-3.5-turbo-instruct", "davinci-002", "babbage-002", "dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini",
    "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002", "whisper-1", "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe", "tts-1", "tts-1-hd", "gpt-4o-mini-tts",
)  # fmt: skip
NAMES = (*CHATS, *OTHERS)


def find(name: str) -> Chat | None:
    """Return a chat model by its name."""
    return CHATS["gpt-4-all"]._replace(snapshot=name) if name.startswith(GIZMO) else CHATS.get(name)


def unknown(name: str) -> str:
    """Say that there is no such model."""
    return f"The model `{name[:100]}` does not exist or you do not have access to it."


def reasons(name: str) -> bool:
    """Whether this model thinks first, and so refuses what would steer its words."""
    return name.startswith(("o1", "o3", "o4", "gpt-5"))


def draws(name: str) -> bool:
    """Whether this is one of the unofficial models that put pictures into their text."""
    return name in {"gpt-4-all", "gpt-4o-all"} or name.startswith(GIZMO)


def cost_nano(chat: Chat, tokens_in: int, tokens_out: int) -> tuple[int, int]:
    """Return what tokens in and tokens out cost, in nano-dollars."""
    prices = (Decimal(chat.input_usd), Decimal(chat.output_usd))
    counts = (tokens_in, tokens_out)
    cost_in, cost_out = (int(price * NANO * count / 1_000_000) for price, count in zip(prices, counts, strict=True))
    return cost_in, cost_out
