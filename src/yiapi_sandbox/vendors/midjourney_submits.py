"""Submissions that begin with words or pictures of the caller. Contract: contracts/midjourney.md, section 2."""

from dataclasses import replace
from typing import Any

import anyio
from starlette.responses import Response

from yiapi_sandbox import looking, studio
from yiapi_sandbox.contract import Call
from yiapi_sandbox.recipes import Film, Grid, Photo, Recipe, Result, Source, Swap
from yiapi_sandbox.vendors import midjourney_pictures as pictures
from yiapi_sandbox.vendors import midjourney_prompts as prompts
from yiapi_sandbox.vendors.midjourney_asks import LINKS, PROMPT_MAX, UUID, Ask, Parent, linked, parent
from yiapi_sandbox.vendors.midjourney_buttons import Kind
from yiapi_sandbox.vendors.midjourney_jobs import KEEP_S, Order, new_uuid, seed_of
from yiapi_sandbox.vendors.midjourney_views import uploaded
from yiapi_sandbox.vendors.midjourney_words import NO_PARENT, SUBMITTED, answered, envelope_refused, missing, wrong

RATIOS = {"PORTRAIT": (2, 3), "SQUARE": (1, 1), "LANDSCAPE": (3, 2)}
LOOKING = 0.5
"""How much of the usual time it takes to look at a picture, or at words."""
FAULTY = 0.25
"""A bad parameter is told sooner than a picture is drawn."""
EDITED, RETEXTURED = 62, 35
FILM_TYPES = ("vid_1.1_i2v_480", "vid_1.1_i2v_720")


async def imagine(call: Call) -> Response:
    """POST imagine: words, and pictures to start from, become a grid."""
    ask = Ask(call)
    text = ask.prompt()
    starts = await ask.kept("base64Array")
    if older := ask.fields.text("base64"):
        starts.append(await ask.keep(older))
    return ask.accept(imagining(ask, text, starts))


def imagining(ask: Ask, text: str, starts: list[str], action: str = "IMAGINE", **more: Any) -> Order:
    """Read a prompt, and order its grid."""
    prompt = prompts.parse(text, niji=ask.niji)
    seed = seed_of(ask.id) if prompt.seed is None else prompt.seed
    found = {"seed": seed, "version": prompt.number, "size": prompt.size, "mode": ask.mode or prompt.mode or "FAST"}
    said = {"prompt": text, "final": text, "description": f"/imagine {text}"}
    job = ask.job(action, "grid", **(said | found | more))
    grid = pictures.imagined(prompt, seed, [*(linked(ask.call, link) for link in prompt.links), *starts])
    return faulty(Order(job=job, sku="mj_imagine", recipe=grid), prompt.fault)


def faulty(order: Order, fault: str | None) -> Order:
    """Let an order fail early, if its parameters are bad."""
    return replace(order, fault=fault, lasts=FAULTY) if fault else order


async def blend(call: Call) -> Response:
    """POST blend: two to five pictures become a grid."""
    ask = Ask(call)
    if not 2 <= len(ask.fields.list("base64Array") or ()) <= 5:
        raise wrong("base64Array参数错误")
    wanted = ask.fields.values.get("dimensions", "SQUARE")
    if not isinstance(wanted, str) or wanted not in RATIOS:
        raise wrong("dimensions参数错误")
    sources = await ask.kept("base64Array")
    seed = seed_of(ask.id)
    grid = pictures.blended(sources, RATIOS[wanted], seed)
    command = f"/blend {ask.id} {len(sources)}"
    job = ask.job("BLEND", "grid", seed=seed, size=pictures.size_of(grid), description=command)
    return ask.accept(Order(job=job, sku="mj_blend", recipe=grid))


async def describe(call: Call) -> Response:
    """POST describe: a picture becomes four prompts."""
    ask = Ask(call)
    ask.fields.text("language", longest=20)
    sent, link = ask.fields.text("base64"), ask.fields.text("link", longest=2000)
    if sent:
        return ask.accept(await describing(ask, Photo(await ask.keep(sent)), None))
    if not link:
        raise missing("base64")
    if not link.startswith(LINKS):
        raise wrong("link参数错误")
    return ask.accept(await describing(ask, linked(call, link), link))


async def describing(ask: Ask, source: Source, link: str | None, *, turn: int = 0) -> Order:
    """Look at a picture, and order what is said of it."""
    recipe: Recipe = Photo(source) if isinstance(source, str) else source
    content = await anyio.to_thread.run_sync(studio.make, Result(recipe), ask.call.sandbox.books.source)
    candidates = prompts.described(await anyio.to_thread.run_sync(looking.look, content), turn)
    job = ask.job(
        "DESCRIBE",
        "description",
        final=prompts.enumerated(candidates),
        description=f"/describe {ask.id}.png",
        candidates=tuple(candidates),
        seen=link,
    )
    return Order(job=job, sku="mj_describe", recipe=recipe, lasts=LOOKING)


async def shorten(call: Call) -> Response:
    """POST shorten: a long prompt becomes up to five shorter ones."""
    ask = Ask(call)
    text = ask.prompt()
    candidates = prompts.shortened(text)
    found = {"final": prompts.analysis(candidates), "candidates": tuple(candidates)}
    job = ask.job("SHORTEN", "analysis", prompt=text, description=f"/shorten {text}", **found)
    return ask.accept(Order(job=job, sku="mj_shorten", lasts=LOOKING))


async def swap(call: Call) -> Response:
    """POST insight-face/swap: the face of one picture goes onto the other one."""
    ask = Ask(call)
    face = await ask.source("sourceBase64", "sourceUrl")
    if face is None:
        raise missing("人脸图片")
    target = await ask.source("targetBase64", "targetUrl")
    if target is None:
        raise missing("目标图片")
    if face == target:
        raise wrong("人脸图片和目标图片不能相同")
    job = ask.job("SWAP_FACE", "none", bot="INSIGHT_FACE")
    return ask.accept(Order(job=job, sku="swap_face", recipe=Swap(face, target)))


async def upload(call: Call) -> Response:
    """POST upload-discord-images: pictures are kept, and answered with links at once."""
    ask = Ask(call)
    digests = await ask.kept("base64Array")
    if not digests:
        raise missing("base64Array")
    shelf, links = call.sandbox.shelf, []
    for digest in digests:
        name = shelf.put(Photo(digest), keep_s=KEEP_S, file_id=new_uuid())
        links.append(uploaded(call.sandbox, call.base_url, ask.account.id, name))
    return answered(1, SUBMITTED, links)


# Beyond what the oldest proxies have


async def edits(call: Call) -> Response:
    """POST edits: draws words into a picture."""
    return await _repainted(call, "EDIT", EDITED)


async def retexture(call: Call) -> Response:
    """POST retexture: draws words over a picture."""
    return await _repainted(call, "RETEXTURE", RETEXTURED)


async def _repainted(call: Call, action: str, weight: int) -> Response:
    ask = Ask(call)
    text = ask.prompt()
    source = await ask.source("image")
    if source is None:
        raise missing("image")
    order = imagining(ask, text, [], action)
    grid = pictures.edited(prompts.parse(text, niji=ask.niji), source, order.job.seed or 0, weight)
    return ask.accept(replace(order, recipe=grid))


async def show(call: Call) -> Response:
    """POST show: brings back a job by its UUID, or by the link of its picture."""
    ask = Ask(call)
    named = (ask.fields.text("jobId", longest=2000) or "").strip()
    if not named:
        raise missing("jobId")
    found = UUID.findall(named)
    known = call.sandbox.shelf.look_up(found[-1]) if found else None
    if known is None or known.form != "png":
        job = ask.job("SHOW", "none", description=f"/show {named}")
        return ask.accept(faulty(Order(job=job, sku="mj_imagine"), "[Invalid link] Could not find that job"))
    recipe = known.recipe
    kind: Kind = "grid" if isinstance(recipe, Grid) else "single"
    job = ask.job("SHOW", kind, description=f"/show {named}", size=pictures.size_of(recipe))
    return ask.accept(Order(job=job, sku="mj_imagine", recipe=recipe, lasts=LOOKING))


async def video(call: Call) -> Response:
    """POST video: a picture becomes one, two or four films, or a film goes on."""
    ask = Ask(call)
    fields = ask.fields
    text = ask.clean(fields.text("prompt", longest=PROMPT_MAX) or "")
    fields.text("videoType", choices=FILM_TYPES)
    high = fields.choice("motion", ("low", "high"), "low") == "high"
    many, loops = fields.whole("batchSize", 1, 4) or 4, fields.flag("loop")
    if many == 3:
        raise wrong("batchSize参数错误")
    if fields.text("action", choices=("extend",)):
        found, index = parent(call), fields.whole("index", 0, 3) or 0
        if index >= found.job.films:
            raise wrong("index参数错误")
        return ask.accept(extending(ask, found, index))
    source = await ask.source("image")
    if source is None:
        raise missing("image")
    motion = pictures.Motion(high, many, source if loops else await ask.source("endImage"))
    said = {"prompt": text, "final": text, "description": f"/video {text}".strip()}
    return ask.accept(filming(ask, source, motion, **said))


def filming(ask: Ask, source: Source, motion: pictures.Motion, **said: Any) -> Order:
    """Order films of a picture."""
    films = pictures.filmed(source, said["final"] or "", seed_of(ask.id), motion)
    cover: Recipe = Photo(source) if isinstance(source, str) else source
    job = ask.job("VIDEO", "films", films=len(films), **said)
    return Order(job=job, sku="mj_video", recipe=cover, films=films)


def extending(ask: Ask, found: Parent, index: int, **said: Any) -> Order:
    """Order that one of the films of a task goes on."""
    cover, film = made(ask, found), made(ask, found, f"-{index}")
    if not isinstance(film, Film):
        raise envelope_refused(3, NO_PARENT)
    films = pictures.longer(film)
    known = {"prompt": found.job.prompt, "final": found.job.final, "parent": found.task.id}
    job = ask.job("VIDEO", "films", films=len(films), **(known | said))
    return Order(job=job, sku="mj_video", recipe=cover, films=films)


def made(ask: Ask, found: Parent, part: str = "") -> Recipe:
    """Return what a task made. Raises the vendor's refusal when it is forgotten."""
    known = ask.call.sandbox.shelf.look_up(found.job.uuid + part)
    if known is None:
        raise envelope_refused(3, NO_PARENT)
    return known.recipe
