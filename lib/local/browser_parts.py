"""Copy the files that pages load from node_modules to static/vendor/, which git ignores.

htmx stays at major 2 (maintained, and its attributes are what the templates use); 4 needs `:inherited` and swaps error
answers by default, so that step is a change of templates and not of a number.
"""

from __future__ import annotations

import shutil
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.js",
    "uplot/dist/uPlot.esm.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter.woff2",
    "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2": "jetbrains-mono.woff2",
}


def copy_browser_parts(node_modules: Path, vendor: Path) -> None:
    vendor.mkdir(parents=True, exist_ok=True)
    for old in vendor.iterdir():
        if old.name not in FILES.values() and old.is_file():
            old.unlink()
    for source, name in FILES.items():
        shutil.copyfile(node_modules / source, vendor / name)


if __name__ == "__main__":
    copy_browser_parts(CHECKOUT / "node_modules", CHECKOUT / "static" / "vendor")
