"""How fast egress and ingress are, over unix sockets on this machine, against two socats and a direct connection.

    ./pants run benchmarks:proxy [-- --quick]

All routes get the same load from the same client and lead to origins that are the same, one after the other, several
times over; medians are printed. ``ratio`` is ours against socat's, for each figure so that more is better. How many
direct connections there are in a second, the machine's ports decide: each is closed for a minute. The last line is one
JSON object.

Both of our sides run on Debian's Python where there is one (``--python`` takes another), because it is the interpreter
that runs them in an image; the output says which one it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "runtime")]

from benchmarks import proxy_client, proxy_python, proxy_routes  # noqa: E402  (The paths above come first.)
from benchmarks.proxy_routes import Route  # noqa: E402

_MIB = 1 << 20
_AT_ONCE = 32

#: Figures of which less is better, by how their names end.
_COSTS = ("_ms", "_mib", "_cpu_s_per_10k")


def measure(route: Route, *, seconds: float, size: int) -> dict[str, float]:
    """One round of all kinds of load on one route."""
    found: dict[str, float] = {}
    for at_once in (1, _AT_ONCE):
        before = route.cpu_seconds()
        rate = proxy_client.tunnels(route.egress, at_once=at_once, seconds=seconds)
        # The children of socat's that have just ended are still to be waited for.
        cpu = (route.cpu_seconds() - before) / len(rate.latencies) * 10_000
        found[f"tunnels_{at_once}_per_s"] = rate.per_second
        found[f"tunnels_{at_once}_p50_ms"] = rate.percentile(0.5) * 1000
        found[f"tunnels_{at_once}_p99_ms"] = rate.percentile(0.99) * 1000
        if route.processes:
            found[f"tunnels_{at_once}_cpu_s_per_10k"] = cpu
    for at_once in (1, _AT_ONCE):
        rate = proxy_client.requests(route.egress, at_once=at_once, seconds=seconds)
        found[f"keep_alive_{at_once}_per_s"] = rate.per_second
        found[f"keep_alive_{at_once}_p50_ms"] = rate.percentile(0.5) * 1000
        found[f"keep_alive_{at_once}_p99_ms"] = rate.percentile(0.99) * 1000
    for name, entrance in (("egress", route.egress), ("ingress", route.ingress)):
        found[f"{name}_down_mb_per_s"] = proxy_client.download(entrance, size) / 1e6
        found[f"{name}_up_mb_per_s"] = proxy_client.upload(entrance, size) / 1e6
    return found


def memory(route: Route, held: int) -> float:
    """Resident memory of the route's processes with so many tunnels open, in MiB."""
    with ExitStack() as stack:
        for _ in range(held):
            stack.enter_context(proxy_client.tunnel(route.egress))
        return route.memory_mib()


def compare(ours: dict[str, float], peer: dict[str, float]) -> dict[str, float]:
    """Ours against the peer's, for every figure that both have; more is better."""
    both = [name for name in ours if ours[name] and peer.get(name)]
    return {
        name: round(peer[name] / ours[name] if name.endswith(_COSTS) else ours[name] / peer[name], 2) for name in both
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in alternation")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each kind of small load")
    parser.add_argument("--mib", type=int, default=1024, help="size of each bulk transfer")
    parser.add_argument("--held", type=int, default=2000, help="tunnels held open for the memory of many")
    parser.add_argument(
        "--python",
        type=Path,
        metavar="PATH",
        help=f"a CPython 3.11 for both of our sides (default: {proxy_python.DEFAULT} if it is one, else this one)",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures little")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.mib, args.held = 1, 0.3, 64, 200
    try:
        python = proxy_python.choose(args.python)
    except ValueError as error:
        parser.error(str(error))
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="proxy-") as name, ExitStack() as stack:
        # Each route has an origin of its own: for a minute after it has ended, a connection keeps its port from others
        # to the same place, and those that a faster route has used up would slow the next one down.
        ports = [stack.enter_context(proxy_routes.origin()) for _ in range(3)]
        ours = stack.enter_context(proxy_routes.ours(ports[0], Path(name), python.path))
        peer = stack.enter_context(proxy_routes.socats(ports[1], Path(name)))
        routes = [proxy_routes.direct(ports[2]), peer, ours]
        rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(args.rounds):
            for route in routes:
                rounds[route.name].append(measure(route, seconds=args.seconds, size=args.mib * _MIB))
        for route in routes:
            runs = rounds[route.name]
            figures[route.name] = {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
        for route in (peer, ours):
            figures[route.name][f"memory_{_AT_ONCE}_mib"] = memory(route, _AT_ONCE)
        figures[ours.name]["memory_peak_mib"] = ours.peak_mib()
        figures[ours.name][f"memory_{args.held}_mib"] = memory(ours, args.held)
    ratio = compare(figures["ours"], figures["socat"])
    print(f"{os.cpu_count()} cores, {args.rounds} rounds, {args.mib} MiB a transfer")
    print(f"our sides on CPython {python.version}, {python.path} ({python.why})\n")
    print(f"{'':<28}{'direct':>11}{'socat':>11}{'ours':>11}{'ratio':>8}")
    for figure in figures["ours"]:
        row = "".join(f"{figures[route].get(figure, float('nan')):>11,.2f}" for route in ("direct", "socat", "ours"))
        print(f"{figure:<28}{row}{ratio.get(figure, float('nan')):>8.2f}".replace("nan", "  -"))
    rounded = {route: {name: round(value, 3) for name, value in found.items()} for route, found in figures.items()}
    result = {
        "benchmark": "proxy",
        "rounds": args.rounds,
        "mib": args.mib,
        "python": dataclasses.asdict(python),
        "direct": rounded["direct"],
        "ours": rounded["ours"],
        "peer": {"name": "socat", **rounded["socat"]},
        "ratio": ratio,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
