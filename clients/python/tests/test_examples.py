"""The examples, run as they are against a real server."""

import subprocess
import sys
import unittest
import unittest.mock
from pathlib import Path

import served

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, *given: str) -> list[list[str]]:
    """The words of each line that an example prints."""
    example = [sys.executable, str(EXAMPLES / name), *(given or [served.address()])]
    ended = subprocess.run(example, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    return [line.split() for line in ended.stdout.splitlines()]


class Examples(unittest.TestCase):
    """What each prints."""

    def test_every_example_is_tested(self) -> None:
        found = sorted(path.name for path in EXAMPLES.glob("*.py"))
        self.assertEqual(found, ["behaviour.py", "offers.py", "secure.py", "watching.py"])

    def test_offers(self) -> None:
        printed = run("offers.py")
        expected = [["1", "savings_easy_access"], ["2", "fund_balanced"], ["3", "travel_annual"]]
        self.assertEqual([words[:2] for words in printed], expected)

    def test_behaviour(self) -> None:
        (words,) = run("behaviour.py")
        self.assertEqual(words[:3], ["1", "event", "recorded"])
        self.assertTrue(words[3].startswith("fund_"), words)

    @unittest.skipUnless(served.SECRETS, served.NO_SECRETS)
    def test_secure(self) -> None:
        token = {"NBO_TOKEN": served.secret("website.token").decode()}
        with unittest.mock.patch.dict("os.environ", token):
            (words,) = run("secure.py", served.secure_address(), f"{served.SECRETS}/ca.pem")
        self.assertEqual((len(words), words[0]), (3, "savings_easy_access"))

    def test_watching(self) -> None:
        now, then = run("watching.py")
        self.assertEqual((now[0], then[0], len(now), len(then)), ("now", "then", 4, 4))
        self.assertTrue(then[1].startswith("fund_"), then)
        self.assertNotEqual(now[1:], then[1:])


if __name__ == "__main__":
    unittest.main()
