"""An S3 server for tests: moto, and as S3 promises one winner among conditional writes of a key.

Run: `s3_server.py PORT`. It listens on 127.0.0.1 and holds everything in memory.

moto looks whether a key is there and writes it in two steps, and answers each request in a thread of
its own: of writers with `If-None-Match: *` that come together two may be told that they were first.
Here such requests wait for each other, as the specification of conditional writes asks
(Amazon S3, "Conditional writes": of concurrent requests one succeeds, the others get a 412).
"""

import sys
import threading
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


def one_conditional_write_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """`app`, whose requests with `If-None-Match` run one after the other; all others run side by side."""
    writing = threading.Lock()

    def serve(environ: WSGIEnvironment, start_response: StartResponse):
        if "HTTP_IF_NONE_MATCH" not in environ or environ["REQUEST_METHOD"] == "GET":
            return app(environ, start_response)
        with writing:
            return app(environ, start_response)

    return serve


if __name__ == "__main__":
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        one_conditional_write_at_a_time(moto),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
