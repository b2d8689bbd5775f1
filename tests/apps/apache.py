"""Debian's Apache with a configuration of its own, in a folder of its own and without root."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Place

_MODULES = "/usr/lib/apache2/modules"
_CONFIG = """
ServerRoot "{folder}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile apache.pid
ErrorLog error.log
{user}
{modules}
DocumentRoot "{folder}/www"
TypesConfig /dev/null
AddType text/plain .txt
"""


@contextmanager
def apache(place: Place, modules: tuple[str, ...], config: str) -> Iterator[None]:
    """Apache with some modules and lines beyond the plain ones, and the folder `www`."""
    www = place.folder / "www"
    www.mkdir()
    names = ("mpm_event", "authz_core", "mime", "dir", *modules)
    loaded = "\n".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so" for name in names)
    # Started as root, its workers run as another user, who must reach the folder.
    user = pwd.getpwuid(os.getuid()).pw_name
    named = "User www-data\nGroup www-data" if user == "root" else ""
    if named:
        _open_to_all(place)
    text = _CONFIG.format(folder=place.folder, port=place.port, user=named, modules=loaded)
    (place.folder / "apache.conf").write_text(text + config)
    command = ("/usr/sbin/apache2", "-d", str(place.folder), "-f", "apache.conf", "-DFOREGROUND")
    with place.running(*command):
        yield


def _open_to_all(place: Place) -> None:
    for folder in (place.folder, place.folder / "www"):
        folder.chmod(0o777)
