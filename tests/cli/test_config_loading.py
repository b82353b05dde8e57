"""Where values come from, which source wins, and how each mistake is told."""

from dataclasses import fields
from pathlib import Path

import pytest

from crdtsync.config import GROUPS, OPTIONS, Config, Resolved, load
from crdtsync.errors import ConfigError
from crdtsync.limits import Limits


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "crdtsync.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def source(resolved: Resolved, name: str) -> tuple[str, str]:
    (setting,) = (s for s in resolved.settings if s.option.name == name)
    return setting.source, setting.where


def test_defaults() -> None:
    """Without any source, the configuration is ``Config()`` and says so for each option."""
    resolved = load()
    assert resolved.config == Config()
    assert resolved.file is None
    assert {s.source for s in resolved.settings} == {"default"}
    assert [s.option for s in resolved.settings] == list(OPTIONS)


def test_every_field_is_an_option() -> None:
    """Each field of ``Config`` and ``Limits`` is reachable by exactly one option."""
    own = [o.field for o in OPTIONS if not o.limit]
    limits = [o.field for o in OPTIONS if o.limit]
    tables = ("limits", "roles")
    assert sorted(own) == sorted(f.name for f in fields(Config) if f.name not in tables)
    assert limits == [f.name for f in fields(Limits)]
    assert {o.group for o in OPTIONS} == set(GROUPS)


def test_precedence() -> None:
    """The command line wins over variables, they over the file, it over the defaults."""
    write("port = 1\nhost = 'file'\nstore = 'memory:'\n")
    resolved = load(cli={"port": "3"}, env={"CRDTSYNC_PORT": "2", "CRDTSYNC_HOST": "variable"})
    config = resolved.config
    assert (config.port, config.host, config.store) == (3, "variable", "memory:")
    assert config.durability == "fsync"
    assert source(resolved, "port") == ("command line", "--port")
    assert source(resolved, "host") == ("variable", "CRDTSYNC_HOST")
    assert source(resolved, "store") == ("file", "crdtsync.toml:3")
    assert source(resolved, "durability") == ("default", "")


def test_nothing_given_on_the_command_line() -> None:
    """``None`` stands for an option that was not given."""
    assert load(cli={"port": None}, env={"CRDTSYNC_PORT": "7"}).config.port == 7


def test_limits_reach_the_limits() -> None:
    """A limit is set from every source, with its unit, inside and outside ``[limits]``."""
    write("max_frame_bytes = '2MiB'\n[limits]\nkeepalive_s = 10\nmax_merge = 1\n")
    limits = load(
        cli={"commit_interval_s": "2ms"}, env={"CRDTSYNC_MAX_MESSAGE_BYTES": "32MB"}
    ).config.limits
    assert limits == Limits(
        max_frame_bytes=2 << 20,
        keepalive_s=10.0,
        max_merge=1,
        commit_interval_s=0.002,
        max_message_bytes=32_000_000,
    )


def test_which_file() -> None:
    """The file is the one given, else the one the variable names, else the folder's own."""
    write("port = 1")
    named, given = write("port = 2", "named.toml"), write("port = 3", "given.toml")
    env = {"CRDTSYNC_CONFIG": str(named)}
    assert load().file == Path("crdtsync.toml")
    assert load(env=env).config.port == 2
    assert load(env=env, config_file=given).config.port == 3
    assert load(env=env, config_file=given).file == given


def test_empty_variable() -> None:
    """An empty variable is one that is not set."""
    assert load(env={"CRDTSYNC_PORT": "", "CRDTSYNC_CONFIG": ""}).config.port == 1234


def test_service_links() -> None:
    """The variables that Kubernetes sets for a service named crdtsync are not ours."""
    env = {
        "CRDTSYNC_SERVICE_HOST": "10.0.0.7",
        "CRDTSYNC_SERVICE_PORT": "1234",
        "CRDTSYNC_SERVICE_PORT_HTTP": "1234",
        "CRDTSYNC_PORT": "tcp://10.0.0.7:1234",
        "CRDTSYNC_PORT_1234_TCP": "tcp://10.0.0.7:1234",
        "CRDTSYNC_PORT_1234_TCP_PROTO": "tcp",
        "CRDTSYNC_PORT_1234_TCP_PORT": "1234",
        "CRDTSYNC_PORT_1234_TCP_ADDR": "10.0.0.7",
        "CRDTSYNC_WEB_SERVICE_HOST": "10.0.0.8",
        "CRDTSYNC_WEB_PORT": "tcp://10.0.0.8:80",
        "CRDTSYNC_WEB_PORT_80_TCP": "tcp://10.0.0.8:80",
    }
    assert load(env=env).config == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 1\nhots = 'x'", "crdtsync.toml:2: there is no option hots; did you mean host?"),
        ("unix_socket = 'x'", "crdtsync.toml:1: there is no option unix_socket; did you mean uds?"),
        ("log-level = 'info'", "there is no option log-level; did you mean log_level?"),
        ("\n[server]\nport = 1", "crdtsync.toml:2: there is no option server; the only table"),
        ("port = 'x'", 'crdtsync.toml:1: port = "x" is not a whole number from 0 to 65535'),
        ("port = '1'", 'port = "1" has to be a number: write it without quotes'),
        ("port = true", "port = true is not a whole number"),
        ("port = 65536", "port = 65536 is not a whole number from 0 to 65535"),
        ("[limits]\n\nmax_merge = 0", "crdtsync.toml:3: max_merge = 0 is not a whole number from"),
        ("[limits]\nmax_mrge = 4", "there is no option max_mrge; did you mean max_merge?"),
        ("[limits]\nport = 4", "crdtsync.toml:2: port is not a limit"),
        ("limits = 3", "limits has to be a table"),
        ("max_merge = 3\n[limits]\nmax_merge = 4", "max_merge stands in [limits] and above it"),
        ("port = 1\nhost =", "crdtsync.toml: not valid TOML: Invalid value (at line 2, the last)"),
        ("port = 1\nport = 2", "not valid TOML: Cannot overwrite a value (at line 2, the last)"),
        ("keyfile = 'k.pem'", "keyfile is set, certfile is not"),
        ("uds = 's'\ntransport = 'native'", "can't listen on a unix socket"),
    ],
)
def test_file_mistakes(text: str, message: str) -> None:
    """A mistake in the file is told with file, line, and what would be right."""
    write(text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"CRDTSYNC_PROT": "1"},
            "variable CRDTSYNC_PROT is set, but there is no such option; "
            "did you mean CRDTSYNC_PORT?",
        ),
        ({"CRDTSYNC_CONFG": "x"}, "did you mean CRDTSYNC_CONFIG?"),
        ({"CRDTSYNC_PORT": "http"}, "CRDTSYNC_PORT: 'http' is not a whole number from 0 to 65535"),
        ({"CRDTSYNC_KEEPALIVE_S": "60"}, "'60' is not a time from 100ms to 28s"),
        ({"CRDTSYNC_MAX_FRAME_BYTES": "1M"}, "CRDTSYNC_MAX_FRAME_BYTES: '1M' is not a size"),
    ],
)
def test_variable_mistakes(env: dict[str, str], message: str) -> None:
    """A mistake in a variable is told with its name and what would be right."""
    with pytest.raises(ConfigError) as caught:
        load(env=env)
    assert message in str(caught.value)


def test_hidden_mistake() -> None:
    """A mistake is told even where another source wins."""
    write("port = 'x'")
    with pytest.raises(ConfigError, match=r"crdtsync.toml:1"):
        load(cli={"port": "1"})


def test_unknown_name_from_python() -> None:
    """An unknown name in ``cli`` is refused with the nearest one."""
    with pytest.raises(ConfigError, match=r"no option prt; did you mean port\?"):
        load(cli={"prt": "1"})


def test_missing_file() -> None:
    """A file that was asked for and is not there is an error with a hint."""
    with pytest.raises(ConfigError, match=r"can't read .*gone.toml: No such file") as caught:
        load(config_file=Path("gone.toml"))
    assert "--config" in caught.value.hint


def test_folder_as_file() -> None:
    """A folder is no configuration file; one named like the default is passed over."""
    Path("crdtsync.toml").mkdir()
    assert load().file is None
    with pytest.raises(ConfigError, match="Is a directory"):
        load(config_file=Path("crdtsync.toml"))


def test_file_encoding() -> None:
    """A byte order mark is read over; what is not UTF-8 is refused."""
    Path("crdtsync.toml").write_bytes(b"\xef\xbb\xbfport = 5")
    assert load().config.port == 5
    Path("crdtsync.toml").write_bytes(b"host = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load()
