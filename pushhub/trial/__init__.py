"""The trial of an API: a plain poller beside a long-poller through a hub that runs for it alone.

`comparison`, `text_plot`, `text_page` and `html_page` are pure; all other modules send requests.
"""
