"""The demo's actions as tools of MCP clients: images and numbers, and nothing of the server."""

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio.mcp
from gradio_client.utils import is_file_obj_with_meta
from PIL import Image

from hvae_sr.demo.cache import own_folder
from hvae_sr.demo.values import OWN

MOST_IMAGES = 8  # of one answer
LARGEST_SIDE = 1024  # pixels of an image inside an answer; files are fetched whole
BEFORE = "-bicubic"  # what the name of an enlargement by interpolation ends with


class Tools(gradio.mcp.GradioMCPServer):
    """gradio's server, which would print Python's view of what is no image, paths included."""

    def get_fn_description(self, block_fn: Any, tool_name: str) -> tuple[str, dict[str, str]]:
        """gradio's, with what each choice of a menu is for."""
        description, arguments = super().get_fn_description(block_fn, tool_name)
        for name, component in zip(list(arguments), block_fn.inputs, strict=False):
            told = [label for label, value in getattr(component, "choices", ()) if label != value]
            if told:
                arguments[name] += f" Choices: {'; '.join(told)}."
        return description, arguments

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """Images, reduced; then numbers as JSON, with the addresses of the files.

        Args:
            data: what an action gives back, as JSON.
            root_url: of the server.
        """
        if len(data) == 1 and isinstance(data[0], tuple):
            (data,) = data  # what gradio's client made of several results
        paths = list(dict.fromkeys(_paths(data)))
        images = [each for path in paths if (each := _image(path)) is not None]
        facts: dict[str, Any] = {}
        for each in data:
            if isinstance(each, dict) and not is_file_obj_with_meta(each):
                facts |= each
        facts["files"] = [{"name": path.name, "url": address(path, root_url)} for path in paths]
        return [
            *(
                self.types.ImageContent(type="image", data=each, mimeType="image/png")
                for each in images[:MOST_IMAGES]
            ),
            self.types.TextContent(type="text", text=json.dumps(facts)),
        ]

    def create_mcp_server(self) -> Any:
        """gradio's, whose answers hold the numbers as structured content too."""
        server = super().create_mcp_server()
        answer = server.request_handlers[self.types.CallToolRequest]

        async def structured(request: Any) -> Any:
            result = await answer(request)
            if not result.root.isError:
                result.root.structuredContent = json.loads(result.root.content[-1].text)
            return result

        server.request_handlers[self.types.CallToolRequest] = structured
        return server


def address(path: Path, root_url: str) -> str:
    """Where a file of the demo's own folder is fetched, without saying where the folder is."""
    return f"{root_url}{OWN}{path.relative_to(own_folder()).as_posix()}"


def _paths(data: Any) -> Iterator[Path]:
    """Of all files in a value, those of answers."""
    if is_file_obj_with_meta(data):
        path = Path(data["path"])
        if not path.stem.endswith(BEFORE):
            yield path
    elif isinstance(data, dict):
        for each in data.values():
            yield from _paths(each)
    elif isinstance(data, list | tuple):
        for each in data:
            yield from _paths(each)


def _image(path: Path) -> str | None:
    """An image of the demo's own making as PNG in base64, or None for another file."""
    if path.suffix.lower() not in (".png", ".webp", ".jpg", ".tif"):
        return None
    with Image.open(path) as image:
        image.load()
        small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "PNG")
    return b64encode(file.getvalue()).decode()
