"""What is not yet possible, in one place: each list is emptied when its subject is built."""

AFTER_METHODS = frozenset(
    {
        ("apache_webdav", "propfind"),
        ("etcd", "version 3"),
        ("graphql_yoga", "post"),
        ("prometheus", "query by POST"),
        ("radicale", "propfind"),
        ("supervisor", "xml-rpc"),
    }
)
"""Polls by another method than GET, as (application, name of the poll): they need `methods`. When
it is there, the lines of `Application.later` belong into `routes`."""

AFTER_PACE = frozenset({"crowd"})
"""Measurements of `scripts/apps` that need the budget of an origin: 2,000 clients with a resource
each. Without it the number of requests grows with the number of clients."""
