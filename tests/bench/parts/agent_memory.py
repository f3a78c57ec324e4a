# SPDX-License-Identifier: MIT
"""Memory of the agent: delivering, and in an outage with its queue full, beside the least
program that uses libcurl."""

import os
import subprocess
import time

import _agents
import e2e
import process

TITLE = "Agent: memory"

COMMAND = "tests/bench/run agent_memory"
EMPTY = os.path.join(e2e.BUILD, "tests", "bench", "empty_curl")
MB = 1e6
GOAL_STATIC = 2.0  # MB; during an outage, beside the queue
GOAL_DYNAMIC = 1.0  # MB more than the empty program


def delivering(pcd, program):
    return e2e.Pcc(pcd, program=program, FREQUENCY="1s", BATCH_SIZE="100")


def cut_off(program, queue_max):
    """One whose server isn't there; its ticks follow fast, so that the queue fills."""
    return e2e.Pcc(f"http://127.0.0.1:{e2e.free_port()}", program=program, FREQUENCY="10ms",
                   QUEUE_MAX=queue_max, STATUS_SOCKET=os.path.join(e2e.folder(), "status.sock"))


def asked(pcc):
    """What pcc says of itself, as a dict."""
    done = subprocess.run([e2e.PCC, "status"], capture_output=True, text=True, check=False,
                          env=e2e.clean_environment(
                              PCC_STATUS_SOCKET=pcc.options["STATUS_SOCKET"]))
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def row(name, pid, queue=0):
    sizes = [f(pid) for f in (process.rss_bytes, process.pss_bytes, process.private_bytes,
                              process.peak_bytes)]
    return [name, *(f"{size / MB:.2f}" for size in sizes), f"{queue / MB:.2f}" if queue else ""]


def goals(report, kind, trickle, outage, queue, empty):
    rss, pss = process.rss_bytes(trickle) / MB, process.pss_bytes(trickle) / MB
    reached = f"{rss:.2f} MB RSS, {pss:.2f} MB PSS"
    if kind == "static":
        report.goal("memory of the agent, static build, delivering", f"{GOAL_STATIC} MB",
                    reached, rss <= GOAL_STATIC, COMMAND)
        rest = (process.rss_bytes(outage) - queue) / MB
        report.goal("the same in an outage, beside its full queue", f"{GOAL_STATIC} MB",
                    f"{rest:.2f} MB RSS", rest <= GOAL_STATIC, COMMAND)
        return
    more = rss - process.rss_bytes(empty) / MB
    report.goal("memory of the agent, dynamic, delivering",
                f"≤ {GOAL_DYNAMIC} MB above an empty libcurl program",
                f"{more:+.2f} MB: {reached}", more <= GOAL_DYNAMIC, COMMAND)


def run(report, quick):
    seconds, queue_max = (20, "128KiB") if quick else (600, "4MiB")
    pcd = e2e.Pcd()
    agents = [(kind, delivering(pcd, program), cut_off(program, queue_max))
              for kind, program in _agents.builds()]
    empty = e2e.Program([EMPTY, pcd.url + "/metrics"], e2e.clean_environment())
    time.sleep(seconds)

    rows = [row("empty libcurl program, dynamic", empty.process.pid)]
    for kind, trickle, outage in agents:
        said = asked(outage)
        queue = int(said["memory_bytes"])
        assert int(said["lost_queue_full"]) > 0, f"the queue did not fill: {said}"
        rows.append(row(f"pcc, {kind}, delivering", trickle.process.pid))
        rows.append(row(f"pcc, {kind}, in an outage", outage.process.pid, queue))
        goals(report, kind, trickle.process.pid, outage.process.pid, queue, empty.process.pid)
    report.text(f"""
After {seconds} s, over HTTP. {_agents.which()}
Of those in an outage the server isn't there, and their queue
(`PCC_QUEUE_MAX={queue_max}`, no spool) is full and drops: its size is what batches in it hold.
PSS counts a page by its share: several processes of one kind ran at the same time. Private is what
would be free without the process.""")
    report.table(["MB", "RSS", "PSS", "private", "greatest RSS", "queue"], rows)
    if len(agents) == 1:
        report.text(f"There was no static build ({os.path.relpath(_agents.STATIC, e2e.SOURCE)}).")

    empty.kill()
    for _, trickle, outage in agents:
        assert trickle.stop() == 0, trickle.log
        outage.kill()
    assert pcd.stop() == 0, pcd.log
