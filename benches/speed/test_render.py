"""`python3 -m unittest discover benches/speed`: the arithmetic behind the tables."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import Failed, run  # noqa: E402
from render import middle, ratios, ratios_table, render  # noqa: E402
from texts import count, long_pairs, write_long  # noqa: E402


def row(contender: str, number: int, seconds: float, encode: float | None = None) -> dict:
    """A run as `run.py` keeps it."""
    return {
        "contender": contender,
        "round": number,
        "result_s": seconds,
        "encode_s": encode,
        "cpu_s": seconds,
        "peak_mb": 100.0,
        "others_cores": 0.0,
        "score": 0.5,
    }


class Tables(unittest.TestCase):
    """Medians and ratios."""

    def test_ratios_pair_runs_of_the_same_round(self):
        ours = [row("korfinsts rten", 1, 2.0), row("korfinsts rten", 2, 4.0)]
        theirs = [row("peer", 2, 4.0), row("peer", 1, 6.0), row("peer", 3, 9.0)]
        self.assertEqual(ratios(theirs, ours, "result_s"), [1.0, 3.0])
        self.assertEqual(ratios(theirs, ours, "encode_s"), [])

    def test_a_median_over_a_missing_figure_is_none(self):
        self.assertIsNone(middle([row("a", 1, 1.0, 2.0), row("a", 2, 1.0)], "encode_s"))
        self.assertEqual(middle([row("a", i, s) for i, s in ((1, 5.0), (2, 1.0), (3, 2.0))], "result_s"), 2.0)

    def test_the_rendered_page_holds_medians_ratios_and_versions(self):
        runs = [row("korfinsts rten", 1, 2.0, 1.0), row("mteb", 1, 15.0, 8.0)]
        workload = {"workload": "short", "description": "d", "versions": {"mteb": {"mteb": "2.26"}}, "runs": runs}
        machine = {"cpu": "c", "family_model_stepping": "1/2/3", "cores": 2, "memory_gb": 8, "features": ["avx"]}
        machine |= {"system": "Linux", "kernel": "6"}
        page = render({"date": "2026-11-23T00:00", "commit": None, "machine": machine, "workloads": [workload]})
        self.assertIn("| mteb, wall | 7.50 (7.50–7.50) |", page)
        self.assertIn("| mteb | 15.00 | 8.00 | 15.00 | 100 | 0.50000000 | 1 | 0.00 |", page)
        self.assertIn("mteb: mteb 2.26.", page)
        self.assertTrue(page.startswith("# Speed, 2026-11-23\n"))
        named = {"date": "2026-11-23T00:00", "commit": None, "model": "bert-base", "machine": machine}
        self.assertTrue(render(named | {"workloads": []}).startswith("# Speed, 2026-11-23, bert-base\n"))

    def test_without_ours_there_are_no_ratios(self):
        self.assertIsNone(ratios_table({"runs": [row("mteb", 1, 1.0)]}))


class Texts(unittest.TestCase):
    """The long texts."""

    def test_long_pairs_are_the_same_each_time_and_all_different(self):
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "s.tsv"), Path(folder, "long.tsv")
            lines = (f"g\tf\ty\t{i}\t1.0\tsentence {i} of the first side\tand {i * 7} here" for i in range(900))
            source.write_text("\n".join(lines))
            self.assertEqual(long_pairs(source), long_pairs(source))
            write_long(source, target)
            self.assertEqual(count(target), {"texts": 200, "distinct": 200})


class Measuring(unittest.TestCase):
    """Running a process."""

    def test_output_memory_and_time_are_those_of_the_process(self):
        with tempfile.TemporaryDirectory() as folder:
            code = "import time; x = bytearray(64_000_000); print('done', flush=True); time.sleep(.3)"
            cost, printed = run([sys.executable, "-c", code], {}, Path(folder, "log"))
        self.assertEqual(printed, "done\n")
        self.assertGreater(cost.peak_mb, 64)
        self.assertGreaterEqual(cost.exit_s - cost.result_s, 0.25)

    def test_a_failed_process_is_named_with_the_end_of_its_log(self):
        with tempfile.TemporaryDirectory() as folder:
            code = "import sys; sys.exit('no such model')"
            with self.assertRaisesRegex(Failed, "ended with 1:\nno such model"):
                run([sys.executable, "-c", code], {}, Path(folder, "log"))


if __name__ == "__main__":
    unittest.main()
