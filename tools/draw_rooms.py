"""Draw the rooms of the package from its imports, and refuse imports that go upward or in a circle.

    python tools/draw_rooms.py [--source src/smidgen] [--out docs/pictures/rooms.svg]

A room is a folder of the package, or a file at its root. Every import counts, those inside functions and those for
types alone too. `__version__` may be read from anywhere: Python runs the package's `__init__` before any room.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PACKAGE = "smidgen"
# From the bottom up, each with the column it is drawn in.
ROOMS = {
    "errors": 1, "files": 1, "images": 1, "pickles": 0, "network": 2, "engine": 3, "pages": 0, "data": 1, "training": 1,
    "model": 1, "judging": 1, "runs": 1, "scaling": 2, "search": 1, "export": 3, "web": 2, "ocrmypdf": 2,
    "estimator": 0, "cli": 2,
}  # fmt: skip
# Not drawn: the public names, which import what they need once they are asked for, and `python -m smidgen`.
DOORS = ("__init__", "__main__")
PUBLIC = f"{PACKAGE}.__init__"
COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 256, 76, 232, 50, 12

Graph = dict[str, set[str]]


def read_imports(source: Path) -> Graph:
    """What each module imports of the package, by full names; the package itself is `smidgen.__init__`."""
    files = {name_of(path.relative_to(source)): path for path in sorted(source.rglob("*.py"))}
    return {name: {find(found, files) for found in imported(path)} - {name} for name, path in files.items()}


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)))


def imported(path: Path) -> Iterator[str]:
    """Everything of the package that a file names, as far as it is written out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module), level=0):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                sys.exit(f"{path} imports relatively, which this does not follow")
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == PACKAGE:
                names = [f"{PACKAGE}.{attribute}"]
            case _:
                continue
        yield from (n for n in names if n.startswith(f"{PACKAGE}.") and n != f"{PACKAGE}.__version__")


def find(name: str, modules: dict[str, Path]) -> str:
    """The module that defines a name."""
    while name not in modules:
        name = name.rpartition(".")[0]
        if name == PACKAGE:
            return PUBLIC
    return name


def room_of(module: str) -> str:
    return module.split(".")[1]


def check(imports: Graph) -> None:
    """Refuse rooms that have no place, imports that go upward, and circles of modules."""
    order = {room: height for height, room in enumerate((*ROOMS, *DOORS))}
    found = {room_of(module) for module in imports}
    if found - set(DOORS) != set(ROOMS):
        sys.exit(f"rooms without a place, or places without a room: {sorted(found - set(DOORS) ^ set(ROOMS))}")
    upward = [
        f"{module} -> {other}"
        for module, others in imports.items()
        for other in sorted(others)
        if order[room_of(other)] > order[room_of(module)]
    ]
    if upward:
        sys.exit("imports that go upward:\n" + "\n".join(upward))
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        sys.exit("a circle of imports: " + " -> ".join(error.args[1]))


def between_rooms(imports: Graph) -> Graph:
    """Which rooms each room imports from."""
    rooms: Graph = {room: set() for room in ROOMS}
    for module, others in imports.items():
        if room_of(module) in rooms:
            rooms[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
    return rooms


def without_shortcuts(rooms: Graph) -> Graph:
    """The arrows that no chain of others implies."""

    def reachable(room: str) -> set[str]:
        return rooms[room].union(*(reachable(other) for other in rooms[room]))

    return {
        room: {other for other in others if not any(other in reachable(between) for between in others)}
        for room, others in rooms.items()
    }


def purpose(source: Path, room: str) -> str:
    """What a room says it is for, as far as its first pause."""
    path = source / room / "__init__.py"
    text = ast.get_docstring(ast.parse((path if path.exists() else source / f"{room}.py").read_text(encoding="utf-8")))
    return re.split(r"[:,;.\n]", text or "")[0]


def draw(arrows: Graph, titles: dict[str, str]) -> str:
    """The rooms as an SVG picture, each above all that it imports from."""
    heights: dict[str, int] = {}
    for room in ROOMS:  # an order in which what is imported comes first
        heights[room] = 1 + max((heights[other] for other in arrows[room]), default=-1)
    top = max(heights.values())
    places = {room: (MARGIN + COLUMN * column, MARGIN + ROW * (top - heights[room])) for room, column in ROOMS.items()}
    width, height = (2 * MARGIN + WIDTH + COLUMN * max(ROOMS.values()), 2 * MARGIN + HEIGHT + ROW * top)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" text-anchor="middle" letter-spacing="-.1">',
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7a8694"/></marker>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for room, others in arrows.items():
        for other in sorted(others):
            (x, y), (to_x, to_y) = places[room], places[other]
            # Towards the other box, so that lines keep clear of the rest.
            lean = WIDTH * 4 // 9 * ((to_x > x) - (to_x < x))
            lines.append(
                f'<line x1="{x + WIDTH // 2 + lean}" y1="{y + HEIGHT}" x2="{to_x + WIDTH // 2 - lean}" y2="{to_y}" '
                'stroke="#7a8694" marker-end="url(#tip)"/>'
            )
    for room, (x, y) in places.items():
        middle = x + WIDTH // 2
        lines += [
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef4fb" stroke="#8fb2d9"/>',
            f'<text x="{middle}" y="{y + 21}" font-size="15" font-weight="600" fill="#1d2b3a">{room}</text>',
            f'<text x="{middle}" y="{y + 39}" font-size="11" fill="#44525f">{escape(titles[room])}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "src" / PACKAGE)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "rooms.svg")
    args = parser.parse_args()
    imports = read_imports(args.source)
    check(imports)
    rooms = between_rooms(imports)
    titles = {room: purpose(args.source, room) for room in ROOMS}
    args.out.write_text(draw(without_shortcuts(rooms), titles), encoding="utf-8")
    arrows = sum(map(len, rooms.values()))
    print(f"{len(imports)} modules in {len(ROOMS)} rooms, {arrows} arrows between these: {args.out}")


if __name__ == "__main__":
    main()
