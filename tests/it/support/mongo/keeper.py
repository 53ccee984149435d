"""Runs a SecantusDB for test processes of a checkout, as many as share a HOME.

    python keeper.py HOME SECANTUSD [ARGUMENT …]

It writes HOME/server.json when the server answers. It ends when for a while no test process has held HOME/users.lock, and in any
case after three hours; then the server and its data are gone.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

IDLE_SECONDS = 20
LIFE_SECONDS = 3 * 3600
START_SECONDS = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def die_with_parent():
    """On Linux the server ends with its keeper, however that ends."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (OSError, AttributeError):
        pass


def start(home, secantusd):
    """A server and its port; another port when somebody took the first one meanwhile."""
    data = os.path.join(home, f"data-{os.getpid()}")
    for _attempt in range(3):
        port = free_port()
        log = open(os.path.join(home, "server.log"), "wb")
        command = [*secantusd, "--host", "127.0.0.1", "--port", str(port), "--storage-path", data]
        command += ["--cache-size", "256M", "--log-level", "WARNING"]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        begun = time.monotonic()
        while server.poll() is None and time.monotonic() - begun < START_SECONDS:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return server, port, data
            except OSError:
                time.sleep(0.05)
        end(server)
    sys.exit(f"SecantusDB did not start; see {home}/server.log")


def end(server):
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def sweep(home):
    """Removes what servers left whose keepers were killed."""
    for name in os.listdir(home):
        if name.startswith("data-") and not os.path.exists(f"/proc/{name[5:]}"):
            shutil.rmtree(os.path.join(home, name), ignore_errors=True)


def main():
    home, *secantusd = sys.argv[1:]
    sweep(home)
    server, port, data = start(home, secantusd)
    notice = os.path.join(home, "server.json")
    with open(notice + ".new", "w", encoding="utf-8") as file:
        json.dump({"port": port, "keeper": os.getpid()}, file)
    os.replace(notice + ".new", notice)
    users = open(os.path.join(home, "users.lock"), "a")
    begun = used = time.monotonic()
    while server.poll() is None:
        time.sleep(0.5)
        now = time.monotonic()
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            used = now
            if now - begun < LIFE_SECONDS:
                continue
        if now - used > IDLE_SECONDS or now - begun >= LIFE_SECONDS:
            break
        fcntl.flock(users, fcntl.LOCK_UN)
    # Whoever comes now waits for this lock, finds no notice, and starts a server of its own.
    os.remove(notice)
    users.close()
    end(server)
    shutil.rmtree(data, ignore_errors=True)


main()
