"""The models of the station, in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request

from yiapi.api.services import Services, Tenant
from yiapi.errors import ModelNotFound, PermissionDenied
from yiapi.pricing import ListedModel
from yiapi.providers.contract import Mode, Provider

CREATED_S = 1735689600  # a constant: clients want a time, and nobody knows when a model was made
MODEL_SHOWN_MAX = 100


async def listed(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/models``: what this key may use."""
    del request
    return {"object": "list", "data": list(_models(services, tenant))}


async def show(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/models/{id}``. Raises ModelNotFound."""
    wanted = request.path_params["model_id"]
    for model in _models(services, tenant):
        if model["id"] == wanted:
            return model
    raise ModelNotFound(f"The model `{wanted[:MODEL_SHOWN_MAX]}` does not exist.", param="model")


def _models(services: Services, tenant: Tenant) -> Iterator[dict[str, Any]]:
    for model in services.node.pricing.book.models():
        provider = services.node.registry.providers.get(model.provider)
        if provider is not None and _may_use(services, tenant, provider, model):
            yield {
                "id": model.model if provider.mount == "" else f"{provider.slug}/{model.model}",
                "object": "model",
                "created": CREATED_S,
                "owned_by": provider.slug,
            }


def _may_use(services: Services, tenant: Tenant, provider: Provider, model: ListedModel) -> bool:
    """Whether the key may use a model with any of the provider's operations."""
    for operation in provider.operations:
        if operation.mode is Mode.QUERY:
            continue
        try:
            services.node.apikeys.permit(tenant.key, f"{provider.slug}.{operation.name}", model.model, tenant.peer)
        except PermissionDenied:
            continue
        return True
    return False
