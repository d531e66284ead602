#!/usr/bin/env python3
"""The configuration file and core config show; core bench; over the SQLite broker."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest  # noqa: E402


class Config(CoreTest):
    def setUp(self):
        super().setUp()
        del self.environment["MESSAGING_URL"]
        self.file = os.path.join(self.folder, "core.toml")

    def write(self, text, mode=0o600):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.file, mode)

    def show(self, *arguments):
        done = self.run_core("config", "show", "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["setting"]: (line["value"], line["source"]) for line in lines}

    def test_where_each_value_comes_from(self):
        self.write(f'# the shop\nurl = "{self.url}"\ngroup = "shop"\n\n[consumer]\nconcurrency = 3\n')
        from_file = "file " + self.file
        settings = self.show("--config", self.file)
        self.assertEqual(settings["config"], (self.file, "flag"))
        self.assertEqual(settings["url"], (self.url, from_file))
        self.assertEqual(settings["broker"], ("sqlite", from_file))
        self.assertEqual(settings["group"], ("shop", from_file))
        self.assertEqual(settings["consumer.concurrency"], ("3", from_file))
        self.assertEqual(settings["consumer.drain-timeout"], ("30s", "default"))
        self.environment |= {"MESSAGING_CONFIG": self.file, "MESSAGING_URL": "sqlite:///e.db", "MESSAGING_GROUP": "e"}
        settings = self.show()
        self.assertEqual(settings["config"], (self.file, "environment MESSAGING_CONFIG"))
        self.assertEqual(settings["url"], ("sqlite:///e.db", "environment MESSAGING_URL"))
        self.assertEqual(settings["group"], ("e", "environment MESSAGING_GROUP"))
        settings = self.show("--url", "sqlite:///f.db", "--group", "f")
        self.assertEqual(settings["url"], ("sqlite:///f.db", "flag"))
        self.assertEqual(settings["broker"], ("sqlite", "flag"))
        self.assertEqual(settings["group"], ("f", "flag"))

    def test_the_brokers_own_variable_comes_before_the_file(self):
        self.write(f'url = "{self.url}"\n')
        self.environment |= {"MESSAGING_CONFIG": self.file, "REDIS_URL": "redis://h:1"}
        self.assertEqual(self.show()["url"], ("redis://h:1", "environment REDIS_URL"))
        self.assertEqual(self.show()["broker"], ("redis", "environment REDIS_URL"))

    def test_table_of_one_command(self):
        self.environment["MESSAGING_URL"] = self.url
        lines = self.run_core("config", "show", "lag").stdout.splitlines()
        self.assertRegex(lines[0], r"^SETTING +VALUE +SOURCE$")
        self.assertEqual([line.split()[0] for line in lines[1:]], ["config", "broker", "url", "group", "lag.interval"])

    def test_a_mistyped_command_is_told(self):
        self.environment["MESSAGING_URL"] = self.url
        for typed, said in (("consumr", "config show: there is no command consumr; did you mean consumer?"),
                            ("deadletters", "config show: there is no command deadletters"), ("deadletters reply", "did you mean deadletters replay?")):
            self.check_refused(self.run_core("config", "show", typed), 2, said)

    def test_secrets_are_hidden(self):
        self.write('url = "redis://ann:canary@h:1/0"\n[native]\nsasl.password = "canary"\nclient = "shown"\n', 0o644)
        done = self.run_core("config", "show", "--config", self.file)
        self.assertNotIn("canary", done.stdout + done.stderr)
        self.assertIn("redis://ann:***@h:1/0", done.stdout)
        self.assertEqual(done.stderr, f"core: warning: {self.file} holds a password, and others can read it: chmod 600\n")
        settings = self.show("--config", self.file)
        self.assertEqual(settings["native.sasl.password"][0], "***")
        self.assertEqual(settings["native.client"][0], "shown")
        os.chmod(self.file, 0o600)
        self.assertEqual(self.run_core("config", "show", "--config", self.file).stderr, "")

    def test_native_settings_by_flag_come_before_the_files(self):
        self.write('[native]\nretention = "24h"\nsasl.password = "canary"\n', 0o600)
        done = self.run_core("config", "show", "--url", self.url, "--config", self.file, "--native", "retention=48h", "--native", "linger.ms=5",
                             "--native", "ssl.key.password=canary", "--native", "filter=a=b")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("native.ssl.key.password", done.stdout)
        self.assertNotIn("canary", done.stdout + done.stderr)
        settings = self.show("--url", self.url, "--config", self.file, "--native", "retention=48h", "--native", "linger.ms=5", "--native", "filter=a=b")
        self.assertEqual(settings["native.retention"], ("48h", "flag"))
        self.assertEqual(settings["native.linger.ms"], ("5", "flag"))
        self.assertEqual(settings["native.filter"], ("a=b", "flag"))
        self.assertEqual(settings["native.sasl.password"], ("***", f"file {self.file}"))

    def test_native_settings_by_flag_are_used(self):
        done = self.run_core("send", "t", "1", "--url", self.url, "--native", "no_such_setting=1")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("no_such_setting", done.stderr)
        done = self.run_core("send", "t", "1", "--url", self.url, "--native", "canary")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--native: one is not KEY=VALUE", done.stderr)
        self.assertNotIn("canary", done.stderr)

    def test_the_file_is_used(self):
        self.write(f'url = "{self.url}"\n[consumer]\nmax-messages = 2\ntopic = [  # Both.\n  "a",\n  "b"\n]\n[deadletters.replay]\nrate = 7\n')
        self.environment["MESSAGING_CONFIG"] = self.file
        self.send("a", "1")
        self.send("b", "2")
        done = self.run_core("consumer")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 2), done.stderr)
        self.send("a", "1", "2", "3")
        done = self.run_core("consumer", "--max-messages", "3")  # The flag comes first.
        self.assertEqual(len(done.stdout.splitlines()), 3)

    def test_what_is_wrong_with_a_file(self):
        for text, said in (("ulr = 'x'\n", "ulr: there is no such setting; did you mean url?"),
                           ("[consumer]\nconcurency = 3\n", "[consumer] concurency: there is no such setting; did you mean concurrency?"),
                           ("[consumer]\nconcurrency = many\n", "many"),
                           ("[consumer]\nurl = 'x'\n", "[consumer] url: there is no such setting"),
                           ("[consume]\nx = 1\n", "[consume] x: there is no such command"),
                           ('url = "redis://u:canary#x@h"\n', "write %23"),
                           ("url = a, b\n", "is one value"),
                           ("# shop\n\ncanary\n", ": line 3: is not NAME = VALUE"),
                           ("group = 'g'\r\n[consumer]\r\nconcurrency 3\r\n", ": line 3: is not NAME = VALUE"),
                           ("[native]\ncanary\n", ": line 2: is not NAME = VALUE"),
                           ("[consumer\nconcurrency = 3\n", ": line 1: is not NAME = VALUE"),
                           ("= canary\n", ": line 1: is not NAME = VALUE"),
                           ("x\n", ": line 1: is not NAME = VALUE"),
                           ("[native]\na=\n", ": line 2: is not NAME = VALUE"),
                           ("[consumer]\ntopic = [\n  'a',\n  'b'\nconcurrency = 3\n", ": line 2: its list does not end"),
                           ("[consumer]\ntopic = ['a',\n[lag]\ninterval = '1s'\n", ": line 2: its list does not end")):
            self.write(text)
            done = self.run_core("consumer", "--config", self.file, "--topic", "t")
            self.check_refused(done, 2, self.file, said)
            self.assertNotIn("canary", done.stderr)  # It may be a password.
        self.check_refused(self.run_core("lag", "--config", self.folder), 2, "is no file")
        self.check_refused(self.run_core("lag", "--config", "/nonexistent"), 2, "No such file or directory")

    # Bench.

    def test_bench_measures_and_cleans_up(self):
        self.environment["MESSAGING_URL"] = self.url
        done = self.run_core("bench", "--messages", "500", "--size", "64", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        line = json.loads(done.stdout)
        self.assertEqual((line["broker"], line["accepted"], line["handled"]), ("sqlite", 500, 500))
        for what in ("accepted", "handled"):
            p50, p99, most = (line[f"{what}_{p}_microseconds"] for p in ("p50", "p99", "max"))
            self.assertTrue(0 < p50 <= p99 <= most, line)
            self.assertGreater(line[what + "_per_second"], 0)
        self.assertEqual(self.run_core("topics", "list", "--json").stdout, "")
        self.assertEqual(self.run_core("lag", "--json").stdout, "")
        text = self.run_core("bench", "--messages", "20", "--keys", "0", "--rate", "200").stdout
        self.assertRegex(text, r"handled +20 in 0\.\d\d s \([\d,]+/s\)  p50 \S+  p90 \S+  p99 \S+  max \S+\n$")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
