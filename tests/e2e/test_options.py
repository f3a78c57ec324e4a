#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Options: flags, environment, file and default, and what wrong ones get."""

import os
import re
import subprocess
import sys

from e2e import PCC, PCD, clean_environment, folder, run

PROGRAMS = {"PCC_": PCC, "PCD_": PCD}


def call(program, *argv, **variables):
    """Return: (status, stdout, stderr) of a program that ends by itself."""
    done = subprocess.run([program, *argv], env=clean_environment(**variables), timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def settings(program, *argv, **variables):
    """What --check-config shows, as a dict; under which heading, as another."""
    status, out, err = call(program, *argv, "--check-config", **variables)
    assert status == 0, err
    values, sources, source = {}, {}, None
    for text in out.splitlines():
        name, equals, value = text.removeprefix("# ").partition("=")
        if equals:
            values[name], sources[name] = value, source
        elif text:
            source = text
    return values, sources


def config_file(*lines):
    path = os.path.join(folder(), "options")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return path


def refused(program, *argv, **variables):
    """The one line that a wrong option gets; the program must not have started."""
    status, out, err = call(program, *argv, **variables)
    assert status == 2, (status, err)
    assert out == "" and err.count("\n") == 1, (out, err)
    return err


def test_help_lists_every_option_with_its_default():
    for prefix, program in PROGRAMS.items():
        status, out, err = call(program, "--help")
        assert status == 0 and err == "", err
        values, _ = settings(program)
        for name in values:
            assert re.search(rf"\b{name}\b", out), name
        assert len(values) > 15 and all(n.startswith(prefix) for n in values)
    _, out, _ = call(PCC, "--help")
    assert re.search(r"--frequency +PCC_FREQUENCY +10s\b", out)
    assert re.search(r"--queue-max +PCC_QUEUE_MAX +4MiB\b", out)
    assert "PCC_APIKEY " in out and "--apikey " not in out


def test_version_names_revision_time_and_libraries():
    for program, library in ((PCC, "libcurl"), (PCD, "libmicrohttpd")):
        status, out, err = call(program, "--version")
        assert status == 0 and err == "", err
        assert re.search(r"\b\d+\.\d+\.\d+\b", out), out
        for word in (library, "zlib", "msgpack"):
            assert word in out, out


def test_check_config_masks_keys_and_can_be_read_again():
    values, _ = settings(PCC, PCC_APIKEY="a-secret-key", PCC_MODE="trickle",
                         PCC_SERVER_URL="http://127.0.0.1:1", PCC_IDENTIFIER="a host # 1")
    assert "a-secret-key" not in "".join(values.values())
    assert values["PCC_APIKEY"]
    status, out, _ = call(PCC, "--check-config", "--identifier", "a host # 1",
                          "--frequency", "250ms")
    assert status == 0
    again, sources = settings(PCC, "--config", config_file(out))
    assert again["PCC_FREQUENCY"] == "250ms" and "file" in sources["PCC_FREQUENCY"]
    assert again["PCC_IDENTIFIER"] == '"a host # 1"'


def test_flags_win_over_environment_over_file_over_default():
    path = config_file("PCC_FREQUENCY=2s", "PCC_BATCH_SIZE=20", "PCC_TIMEOUT=20s")
    values, sources = settings(PCC, "--config", path, "--frequency=4s",
                               PCC_FREQUENCY="3s", PCC_BATCH_SIZE="30")
    for name, value, source in (("PCC_FREQUENCY", "4s", "flag"),
                                ("PCC_BATCH_SIZE", "30", "environment"),
                                ("PCC_TIMEOUT", "20s", "file"),
                                ("PCC_FLUSH_INTERVAL", "30s", "efault")):
        assert values[name] == value and source in sources[name], (name, sources[name])


def test_the_file_has_the_form_of_an_environment_file():
    path = config_file("# a comment", "; another", "", "  PCC_IDENTIFIER = \"a b\\\"c\" ",
                       "PCC_SUBSYSTEMS='/proc/stat,/proc/uptime'", "PCC_FREQUENCY=2s")
    values, _ = settings(PCC, "--config", path)
    assert values["PCC_IDENTIFIER"] == '"a b\\"c"'
    assert values["PCC_SUBSYSTEMS"] == "/proc/stat,/proc/uptime"
    assert values["PCC_FREQUENCY"] == "2s"


def test_old_names_are_taken():
    values, _ = settings(PCC, PCC_SERVER="collector:8080")
    assert "collector:8080" in values["PCC_SERVER_URL"]
    values, _ = settings(PCD, PCD_LISTENADDRESS="127.0.0.1:9")
    assert values["PCD_LISTEN"] == "127.0.0.1:9"


def test_a_wrong_value_is_named_with_what_would_be_right():
    for name, flag, value, right in (
            ("PCC_FREQUENCY", "frequency", "fast", "10ms"),
            ("PCC_FREQUENCY", "frequency", "9ms", "10ms"),
            ("PCC_FREQUENCY", "frequency", "10", "10ms"),
            ("PCC_BATCH_SIZE", "batch-size", "0", "1"),
            ("PCC_BATCH_SIZE", "batch-size", "-1", "1"),
            ("PCC_QUEUE_MAX", "queue-max", "4 apples", "size"),
            ("PCC_SERIALIZATION", "serialization", "xml", "msgpack"),
            ("PCC_COMPRESSION_LEVEL", "compression-level", "10", "9"),
            ("PCC_TLS_SKIP_VERIFY", "tls-skip-verify", "maybe", "true or false"),
            ("PCC_LOGLEVEL", "loglevel", "LOUD", "TRACE")):
        err = refused(PCC, **{name: value})
        assert name in err and value in err and right in err, err
        err = refused(PCC, f"--{flag}={value}")
        assert f"--{flag}" in err and value in err and right in err, err
        err = refused(PCC, "--config", config_file("# first", f"{name}={value}"))
        assert ":2: " in err and name in err and right in err, err


def test_an_unknown_flag_or_name_in_the_file_stops_the_start():
    for program, flag, name, near in (
            (PCC, "--batchsize", "PCC_BATCHSIZE", "BATCH_SIZE"),
            (PCD, "--lisen", "PCD_LISEN", "LISTEN")):
        err = refused(program, flag, "5")
        assert flag in err and near.lower().replace("_", "-") in err, err
        err = refused(program, "--config", config_file(f"{name}=5"))
        assert name in err and near in err and ":1: " in err, err
        err = refused(program, "serve")
        assert "serve" in err, err


def test_a_file_that_cannot_be_read_is_named():
    err = refused(PCC, "--config", "/nonexistent/options")
    assert "/nonexistent/options" in err and "No such file" in err, err
    err = refused(PCC, "--config")
    assert "--config" in err, err
    err = refused(PCC, "--config", config_file("PCC_FREQUENCY"))
    assert ":1: " in err, err


def test_an_unknown_variable_is_one_warning():
    status, out, err = call(PCC, "--check-config", PCC_BATCHSIZE="5",
                            PCC_PORT_8080_TCP="tcp://10.0.0.1:8080")
    assert status == 0 and "PCC_BATCH_SIZE=100" in out, (out, err)
    assert re.search(r"PCC_BATCHSIZE\b.*PCC_BATCH_SIZE\b", err), err
    assert err.count("PCC_PORT_8080_TCP") == 1, err
    assert err.count("\n") == 2, err


def test_a_key_is_never_a_flag():
    for flag in (["--apikey", "a-secret-key"], ["--apikey=a-secret-key"]):
        err = refused(PCC, *flag)
        assert "PCC_APIKEY" in err and "a-secret-key" not in err, err


def test_options_that_do_not_fit_together_are_named():
    err = refused(PCC, PCC_MODE="trickle", PCC_SERVER_URL="ftp://somewhere", PCC_APIKEY="k")
    assert "PCC_SERVER_URL" in err or "--server-url" in err, err
    err = refused(PCC, PCC_MODE="trickle", PCC_SERVER_URL="http://127.0.0.1:1")
    assert "PCC_APIKEY" in err, err
    err = refused(PCC, PCC_IDENTIFIER="a\tb")
    assert "PCC_IDENTIFIER" in err or "--identifier" in err, err


def test_a_key_file_that_cannot_be_read_stops_the_start():
    status, _, err = call(PCC, PCC_MODE="trickle", PCC_SERVER_URL="http://127.0.0.1:1",
                          PCC_APIKEY_FILE="/nonexistent/key")
    assert status in (1, 2) and "/nonexistent/key" in err and "No such file" in err, err


if __name__ == "__main__":
    run(sys.modules[__name__])
