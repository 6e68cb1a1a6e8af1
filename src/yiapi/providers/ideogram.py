"""Ideogram: pictures in one synchronous call, in Ideogram's official wire format.

The older operations wrap their fields in ``image_request``; the V3 family has them flat. Only the links are ours.
Contract: contracts/ideogram.md
"""

from typing import Any

import msgspec

from yiapi.providers.contract import (
    REMOVED,
    AnswerShape,
    Count,
    Fault,
    FaultShape,
    FilePart,
    HeaderKey,
    Operation,
    Provider,
    Request,
    StationError,
    Title,
    Unit,
    Usage,
    edit,
)


class Pictures(Request):
    """What asks for pictures: how many, and by what name they are priced."""

    num_images: Count = 1

    @property
    def sku(self) -> str:
        """Return the name of the price."""
        return "upscale"


class Upscale(Pictures):
    """The prompt is a hint only; the model is fixed."""


class ImageRequest(Pictures, kw_only=True):
    """The inner request of the older operations."""

    prompt: str
    model: str = "V_2"
    resolution: str | None = None

    @property
    def sku(self) -> str:
        """Return the model."""
        return self.model


class Generate(Request):
    """The outer key is required."""

    image_request: ImageRequest

    @property
    def sku(self) -> str:
        """Return the model."""
        return self.image_request.model

    @property
    def num_images(self) -> int:
        """Return how many pictures are asked for."""
        return self.image_request.num_images


class Describe(Request):
    """A picture and nothing else."""


class Flat(Pictures, kw_only=True):
    """The older operations whose fields are those of the form itself."""

    model: str

    @property
    def sku(self) -> str:
        """Return the model."""
        return self.model


class V3(Pictures):
    """The V3 family. A character reference costs more."""

    rendering_speed: str = "DEFAULT"
    character_reference_images: int = 0  # how many files of that name the form has

    @property
    def sku(self) -> str:
        """Return the model with its speed, and whether a character is kept."""
        return f"V_3:{self.rendering_speed}" + ":character" * bool(self.character_reference_images)


def asked(request: Pictures | Generate) -> Usage:
    """Count the pictures asked for."""
    return Usage(request.sku, Unit.IMAGE, request.num_images)


def delivered(request: Pictures | Generate, body: Any) -> list[Usage]:
    """Count the pictures that came, unsafe ones (without link) too: the vendor bills them."""
    return [Usage(request.sku, Unit.IMAGE, len(body["data"]))]


def without_placeholder(request: Generate, body: bytes) -> bytes:
    """Drop a resolution that is the literal of the published sample, so that the sample works as it stands."""
    if request.image_request.resolution != "string":
        return body
    inner = edit(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["image_request"], {"resolution": REMOVED})
    return edit(body, {"image_request": msgspec.Raw(inner)})


PICTURES = AnswerShape(
    usage=delivered,
    is_empty=lambda body: not (isinstance(body.get("data"), list) and body["data"]),
    files=("data[].url",),
)
PICTURE = FilePart(name="image_file")
IMAGE = FilePart(name="image")
MASK = FilePart(name="mask")
STYLE = FilePart(name="style_reference_images", is_required=False, count_max=10)
CHARACTER = FilePart(name="character_reference_images", is_required=False)
CHARACTER_MASK = FilePart(name="character_reference_images_mask", is_required=False)

FAULTS = FaultShape(
    message="error",
    type="reject_reason",
    types={
        "insufficient_funds": Fault.UPSTREAM_CREDIT,
        "daily_limit": Fault.UPSTREAM_CREDIT,
        "inflight_limit": Fault.RATE_LIMITED,
    },
    statuses={422: Fault.CONTENT_BLOCKED},
    inside=lambda body: "error" in body,
)


def envelope(error: StationError, request_id: str) -> Any:
    """Say an error as Ideogram does: one text."""
    del request_id  # the answer's header has it
    return {"error": error.message}


def flat(name: str, path: str, title: Title, *files: FilePart) -> Operation:
    """Make an older operation whose fields are those of the form."""
    return Operation(
        name=name,
        path=f"/v1/{path}",
        upstream=f"/{path}",
        aliases=(f"/ideogram/{path}",),
        title=title,
        request=Flat,
        usage=asked,
        accepts=("form",),
        files=files,
        answer=PICTURES,
    )


def v3(name: str, title: Title, *files: FilePart) -> Operation:
    """Make an operation of the V3 family; only generation can do without a file, and then takes JSON too."""
    return Operation(
        name=f"v3-{name}",
        path=f"/v1/ideogram-v3/{name}",
        title=title,
        request=V3,
        usage=asked,
        accepts=("form",) if files else ("json", "form"),
        files=(*files, STYLE, CHARACTER, CHARACTER_MASK),
        answer=PICTURES,
    )


OPERATIONS = [
    Operation(
        name="generate",
        path="/v1/generate",
        upstream="/generate",
        aliases=("/ideogram/generate",),
        title=Title("Generate(文生图)", "Generate"),
        request=Generate,
        usage=asked,
        encode=without_placeholder,
        answer=PICTURES,
        trial='{"image_request": {"prompt": "a lighthouse at dusk, pink clouds", "model": "V_2"}}',
    ),
    Operation(
        name="remix",
        path="/v1/remix",
        upstream="/remix",
        aliases=("/ideogram/remix",),
        title=Title("Remix(混合图)", "Remix"),
        request=ImageRequest,
        usage=asked,
        accepts=("form",),
        json_part="image_request",
        files=(PICTURE,),
        answer=PICTURES,
    ),
    Operation(
        name="upscale",
        path="/v1/upscale",
        upstream="/upscale",
        aliases=("/ideogram/upscale",),
        title=Title("Upscale(放大高清)", "Upscale"),
        request=Upscale,
        usage=asked,
        accepts=("form",),
        json_part="image_request",
        files=(PICTURE,),
        answer=PICTURES,
    ),
    Operation(
        name="describe",
        path="/v1/describe",
        upstream="/describe",
        aliases=("/ideogram/describe",),
        title=Title("Describe(描述)", "Describe"),
        request=Describe,
        usage=lambda _: Usage("describe", Unit.CALL, 1),
        accepts=("form",),
        files=(PICTURE,),
        answer=AnswerShape(is_empty=lambda body: not body.get("descriptions")),
    ),
    flat("edit", "edit", Title("Edit(编辑)", "Edit"), PICTURE, MASK),
    flat("reframe", "reframe", Title("Reframe(扩图)", "Reframe"), PICTURE),
    v3("generate", Title("3.0 文生图", "Generate with 3.0")),
    v3("remix", Title("3.0 混合图", "Remix with 3.0"), IMAGE),
    v3("edit", Title("3.0 编辑", "Edit with 3.0"), IMAGE, MASK),
    v3("reframe", Title("3.0 扩图", "Reframe with 3.0"), IMAGE),
    v3("replace-background", Title("3.0 换背景", "Replace the background with 3.0"), IMAGE),
]

PROVIDER = Provider(
    slug="ideogram",
    title="Ideogram",
    contract="contracts/ideogram.md",
    base_url="https://api.ideogram.ai",
    auth=HeaderKey("api-key"),
    key_headers=("api-key",),
    faults=FAULTS,
    envelope=envelope,
    operations=OPERATIONS,
)
