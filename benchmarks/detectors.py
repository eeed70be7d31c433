"""What detection costs: microseconds per scan, by type and all together, on 1 kB and 100 kB of text.

Run it with `python benchmarks/detectors.py`. Each figure is the median of many scans in one
process; a scan by one type includes reading the text, which all types share when they run together.
"""

# ruff: noqa: RUF001 -- Russian text is Russian

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns

from checkrein_detectors import pack

ENGLISH = (
    "Hi, I am preparing the 3 slides for Monday's review and would like your help with the summary. "
    "The team grew to 12 people, revenue went up, and churn is lower than last year. Please keep it short "
    "and friendly, and mention that the new office opens in spring. We meet the board @ the usual place. "
)
MAIL = "Write to sales@example.com for more. "
RUSSIAN = (
    "Здравствуйте, я готовлю 3 слайда для встречи в понедельник и хотел бы получить помощь с обзором. "
    "Команда выросла до 12 человек, выручка увеличилась, а отток ниже, чем в прошлом году. "
)
CHINESE = "你好,我正在为周一的会议准备3张幻灯片,希望你能帮我写一个摘要。团队增加到12人,收入上升了。"
PERSONAL = "Bob, bob@example.com, +1 415-555-2671, 123-45-6789, 4111 1111 1111 1111, password: hunter2. "

TEXTS = {
    "English": ENGLISH,
    "English, an address": MAIL + ENGLISH * 3,
    "personal data": PERSONAL + ENGLISH,
    "Russian": RUSSIAN,
    "Chinese": CHINESE,
    "Chinese, zero-width": CHINESE.replace(",", ",\u200b"),
}
SIZES = (1_000, 100_000)


def text_of(unit: str, size: int) -> str:
    """Repeat a unit up to a size in bytes of UTF-8."""
    return (unit * (size // len(unit.encode()) + 1)).encode()[:size].decode(errors="ignore")


def microseconds(scan: Callable[[str], object], text: str) -> float:
    scan(text)
    times: list[int] = []
    rounds = 400 if len(text) <= SIZES[0] else 15
    for _ in range(rounds):
        started = perf_counter_ns()
        scan(text)
        times.append(perf_counter_ns() - started)
    return median(times) / 1000


def main() -> None:
    types = sorted(pack.max_spans)
    scanners = {"all": pack.scanner(frozenset(types))} | {
        name: pack.scanner(frozenset({name})) for name in types
    }
    for size in SIZES:
        texts = {name: text_of(unit, size) for name, unit in TEXTS.items()}
        print(f"\n{size // 1000} kB, microseconds".ljust(26) + "".join(name.rjust(13) for name in scanners))
        for name, text in texts.items():
            row = "".join(f"{microseconds(scan, text):13.1f}" for scan in scanners.values())
            print(name.ljust(25) + row)


if __name__ == "__main__":
    main()
