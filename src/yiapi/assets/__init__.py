"""The asset room: keeps result files, hands out signed links, serves the files, and forgets them in time."""

from yiapi.assets.files import FileMissing, Files, FolderFiles, ObjectFiles, files_at
from yiapi.assets.inspect import ImageFacts, inspect_base64_image, inspect_image
from yiapi.assets.links import LinkFacts, Links
from yiapi.assets.models import Asset, AssetType, FileLimits, KeepFailed, KeptFile, Retention, Source
from yiapi.assets.routes import Tenant, asset_routes
from yiapi.assets.service import Assets

__all__ = [
    "Asset",
    "AssetType",
    "Assets",
    "FileLimits",
    "FileMissing",
    "Files",
    "FolderFiles",
    "ImageFacts",
    "KeepFailed",
    "KeptFile",
    "LinkFacts",
    "Links",
    "ObjectFiles",
    "Retention",
    "Source",
    "Tenant",
    "asset_routes",
    "files_at",
    "inspect_base64_image",
    "inspect_image",
]
