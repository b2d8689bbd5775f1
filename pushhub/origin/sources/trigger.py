"""The SQL of the triggers that notify pushhub of the changes of a PostgreSQL table.

It needs PostgreSQL 14. The triggers are of statements, with their rows as transition tables: a
statement that changes a million rows sends one notification for all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pushhub.origin.sources.sink import catch_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# PostgreSQL refuses payloads of 8000 bytes and more.
MAX_PAYLOAD = 7900
# More paths of one statement are a bulk change.
MAX_PATHS = 100

_PLACE = re.compile(r"<(\w+)>")
_NAMED = re.compile(r"\{([A-Za-z_][0-9A-Za-z_]*)\}")


def resources_of_table(resources: Sequence[str]) -> list[str]:
    """The resources that the triggers notify of, as the setting `resources` names them: of
    `/orders/{id}` those below `/orders/`, and the collection.
    """
    found: list[str] = []
    for resource in resources:
        many = catch_all(resource)
        found += [many] if many == resource else [many, many.removesuffix("/*") or "/"]
    return list(dict.fromkeys(found))


def trigger_sql(table: str, resources: Sequence[str], channel: str, schema: str) -> str:
    """The statements that create the functions and triggers of a table. They can be run again.

    Args:
        table: the name of the table, without its schema.
        resources: patterns that were checked, whose `{names}` are columns of the table.
        channel: the channel of `NOTIFY`.
    """
    items = [resource for resource in resources if "{" in resource]
    many = [catch_all(resource) for resource in items]
    plain = [text for text in resources_of_table(resources) if text not in many]
    segment = f"{_identifier(schema)}.pushhub_segment"
    names = {
        "table": f"{_identifier(schema)}.{_identifier(table)}",
        "function": f"{_identifier(schema)}.{_identifier(_shortened('pushhub_notify_' + table))}",
        "segment": segment,
        "channel": _text(channel),
        "plain": _array(map(_text, plain)),
        "many": _array(map(_text, dict.fromkeys(many))),
        "new": _array(_path(resource, segment, "pushhub_new") for resource in items),
        "old": _array(_path(resource, segment, "pushhub_old") for resource in items),
        "limit": str(MAX_PATHS + 1),
        "paths": str(MAX_PATHS),
        "bytes": str(MAX_PAYLOAD),
    }
    pieces = [_HEAD, _SEGMENT, _FUNCTION] if items else [_HEAD, _PLAIN_FUNCTION]
    return _PLACE.sub(lambda found: names[found[1]], "\n".join(pieces))


def _path(resource: str, segment: str, row: str) -> str:
    """The expression of the path of a row."""
    parts: list[str] = []
    at = 0
    for found in _NAMED.finditer(resource):
        parts.append(_text(resource[at : found.start()]))
        parts.append(f"{segment}({row}.{_identifier(found[1])}::text)")
        at = found.end()
    parts.append(_text(resource[at:]))
    return " || ".join(part for part in parts if part != "''")


def _array(texts: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(texts)}]::text[]"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _shortened(name: str) -> str:
    """PostgreSQL cuts names at 63 bytes."""
    return name.encode()[:63].decode("utf-8", "ignore")


_HEAD = """\
-- Triggers that notify pushhub of changes of the table <table> (PostgreSQL 14 or newer).
-- They can be created again, with other resources, and end with the table.
"""

_SEGMENT = """\
-- Percent-encodes a value as a segment of a path.
CREATE OR REPLACE FUNCTION <segment>(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog AS $$
  SELECT coalesce(string_agg(
    CASE WHEN letter COLLATE "C" ~ '^[A-Za-z0-9._~-]$' THEN letter
    ELSE regexp_replace(upper(encode(convert_to(letter, 'UTF8'), 'hex')), '(..)', '%\\1', 'g')
    END, '' ORDER BY place), '')
  FROM regexp_split_to_table(value, '') WITH ORDINALITY AS letters(letter, place);
$$;
"""

_FUNCTION = """\
CREATE OR REPLACE FUNCTION <function>() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  -- The same for all listeners, so that one of them fetches for all.
  pushhub_key text := pg_catalog.pg_current_xact_id()::text;
  pushhub_paths text[];
  pushhub_path text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    SELECT pg_catalog.array_agg(p) INTO pushhub_paths FROM (
      SELECT DISTINCT p FROM pushhub_new,
        pg_catalog.unnest(<new>) AS p LIMIT <limit>) AS changed;
  ELSIF TG_OP = 'DELETE' THEN
    SELECT pg_catalog.array_agg(p) INTO pushhub_paths FROM (
      SELECT DISTINCT p FROM pushhub_old,
        pg_catalog.unnest(<old>) AS p LIMIT <limit>) AS changed;
  ELSIF TG_OP = 'UPDATE' THEN
    SELECT pg_catalog.array_agg(p) INTO pushhub_paths FROM (
      SELECT p FROM pushhub_new, pg_catalog.unnest(<new>) AS p
      UNION
      SELECT p FROM pushhub_old, pg_catalog.unnest(<old>) AS p
      LIMIT <limit>) AS changed;
  END IF;
  IF TG_OP <> 'TRUNCATE' AND pushhub_paths IS NULL THEN
    RETURN NULL;  -- No row has changed.
  END IF;
  IF TG_OP = 'TRUNCATE' OR pg_catalog.array_length(pushhub_paths, 1) > <paths> THEN
    pushhub_paths := <many>;
  END IF;
  FOREACH pushhub_path IN ARRAY pushhub_paths || <plain> LOOP
    -- A row without a value in the path has no resource.
    CONTINUE WHEN pushhub_path IS NULL OR pg_catalog.octet_length(pushhub_path) > <bytes>;
    PERFORM pg_catalog.pg_notify(<channel>, pushhub_key || ' ' || pushhub_path);
  END LOOP;
  RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS pushhub_change ON <table>;
CREATE OR REPLACE TRIGGER pushhub_insert AFTER INSERT ON <table>
  REFERENCING NEW TABLE AS pushhub_new
  FOR EACH STATEMENT EXECUTE FUNCTION <function>();
CREATE OR REPLACE TRIGGER pushhub_update AFTER UPDATE ON <table>
  REFERENCING NEW TABLE AS pushhub_new OLD TABLE AS pushhub_old
  FOR EACH STATEMENT EXECUTE FUNCTION <function>();
CREATE OR REPLACE TRIGGER pushhub_delete AFTER DELETE ON <table>
  REFERENCING OLD TABLE AS pushhub_old
  FOR EACH STATEMENT EXECUTE FUNCTION <function>();
CREATE OR REPLACE TRIGGER pushhub_truncate AFTER TRUNCATE ON <table>
  FOR EACH STATEMENT EXECUTE FUNCTION <function>();
"""

_PLAIN_FUNCTION = """\
CREATE OR REPLACE FUNCTION <function>() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  pushhub_path text;
BEGIN
  FOREACH pushhub_path IN ARRAY <plain> LOOP
    -- The number is the same for all listeners, so that one of them fetches for all.
    PERFORM pg_catalog.pg_notify(
      <channel>, pg_catalog.pg_current_xact_id()::text || ' ' || pushhub_path);
  END LOOP;
  RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS pushhub_insert ON <table>;
DROP TRIGGER IF EXISTS pushhub_update ON <table>;
DROP TRIGGER IF EXISTS pushhub_delete ON <table>;
DROP TRIGGER IF EXISTS pushhub_truncate ON <table>;
CREATE OR REPLACE TRIGGER pushhub_change
  AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON <table>
  FOR EACH STATEMENT EXECUTE FUNCTION <function>();
"""
