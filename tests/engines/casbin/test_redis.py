"""A real Redis tells of changes: followed through restarts and silence, until it is closed."""

import sys
import time
from threading import Event

import pytest
from redis_watcher import WatcherOptions, new_publish_watcher

from checkrein.errors import SettingsError
from checkrein.vocabulary import Effect
from checkrein_casbin import redis_channel

BOUND = 30
MEMBER = "g, user:alice, staff\np, staff, *, invoke, allow,\n"
CHANNEL = "/policies"


@pytest.fixture
def told(redis_server, tmp_path):
    """The settings of a watcher of the running Redis; more of them on demand."""
    (tmp_path / "password").write_text(f"{redis_server.password}\n")

    def settings(**more):
        known = {"host": "127.0.0.1", "port": redis_server.port, "password": {"file": "password"}}
        return {"redis": {**known, "channel": CHANNEL, **more}}

    return settings


@pytest.fixture
def follow(load, basic, told):
    """Loads an engine that follows the running Redis."""

    def following(**more):
        engine = load(basic, "", watcher=told(**more))
        engine._on_swap = Swaps()
        return engine

    return following


@pytest.fixture
def publish(redis_server):
    """Tells of a change as Casbin's enforcers do."""

    def update():
        options = WatcherOptions()
        options.host, options.port = "127.0.0.1", str(redis_server.port)
        options.password, options.channel = redis_server.password, CHANNEL
        writer = new_publish_watcher(options)
        writer.update()
        writer.pub_client.close()

    return update


class Swaps:
    """Waits for another version to come into force."""

    def __init__(self):
        self.event = Event()

    def __call__(self, _):
        self.event.set()

    def wait(self):
        assert self.event.wait(BOUND)
        self.event.clear()


def listeners(redis_server):
    with redis_server.client() as client:
        return dict(client.pubsub_numsub(CHANNEL))[CHANNEL.encode()]


def wait_for(condition):
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_change_that_is_published_comes_into_force(follow, asked, publish, tmp_path):
    engine = follow()
    assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE
    (tmp_path / "policy.csv").write_text(MEMBER)
    publish()
    engine._on_swap.wait()
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_it_listens_on_its_own_channel_alone(follow, redis_server):
    follow(channel="/other")
    assert listeners(redis_server) == 0


def test_what_changed_while_redis_was_away_comes_into_force(follow, asked, redis_server, tmp_path):
    engine = follow()
    redis_server.stop()
    (tmp_path / "policy.csv").write_text(MEMBER)
    redis_server.start()
    engine._on_swap.wait()
    assert engine.evaluate(asked()).effect is Effect.PERMIT
    wait_for(lambda: listeners(redis_server) == 1)


def test_what_changed_while_its_connection_was_cut_comes_into_force(follow, asked, redis_server, tmp_path):
    engine = follow()
    (tmp_path / "policy.csv").write_text(MEMBER)
    with redis_server.client() as client:
        client.client_kill_filter(_type="pubsub")
    engine._on_swap.wait()
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_a_silent_redis_is_asked_and_a_dead_one_left(follow, asked, redis_server, tmp_path, monkeypatch):
    monkeypatch.setattr(redis_channel, "_SILENCE", 0.1)
    engine = follow()
    with redis_server.client() as client:
        wait_for(lambda: client.info("commandstats").get("cmdstat_ping", {}).get("calls", 0) > 3)
    redis_server.freeze()
    (tmp_path / "policy.csv").write_text(MEMBER)
    redis_server.stop()
    redis_server.start()
    engine._on_swap.wait()
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_closed_it_listens_no_more_and_it_never_speaks(follow, redis_server, capfd):
    engine = follow()
    assert listeners(redis_server) == 1
    engine.close()
    wait_for(lambda: listeners(redis_server) == 0)
    # A decision log may stand on stdout.
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("wrong", [{"password": {"file": "wrong"}}, {"port": 1}, {"tls": True}])
def test_a_redis_that_cannot_be_followed_stops_the_start(follow, tmp_path, capfd, wrong):
    (tmp_path / "wrong").write_text("no-such-password\n")
    with pytest.raises(SettingsError, match=r"Redis at `127\.0\.0\.1:\d+` cannot be followed: `") as error:
        follow(**wrong)
    told_all = f"{error.value} {capfd.readouterr()}"
    assert "no-such-password" not in told_all
    assert "a-redis-password" not in told_all


def test_without_its_library_the_next_step_is_told(load, basic, monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingsError, match="pip install redis"):
        load(basic, "", watcher={"redis": {"host": "redis.internal"}})
