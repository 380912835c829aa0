"""What schemathesis does around each request that it sends: see fuzz_api.py. Without it the fuzzer would guess ids, and find nothing but 404."""

import itertools
import json
import os

import schemathesis

# By the name of a parameter or of a field of a body: what there is in the installation.
REAL = json.loads(os.environ["LOWRANK_FUZZ_VALUES"])
# Would leave the rest with nothing to ask about.
SPARED = ("/api/v1/keys/", "/api/v1/adapters/", "/v1/models/", "/undrain", "/session")
turn = itertools.count()


def name_of(path: str, parameter: str) -> str:
    """A parameter `id` or `name` is of what the path's segment before it names."""
    before = path.split("{" + parameter + "}")[0].rstrip("/").rsplit("/", 1)[-1]
    return f"{before}.{parameter}" if parameter in ("id", "name", "path") else parameter


def with_real(body, number: int):
    """A body with fields that exist; addresses lead nowhere, whatever they were."""
    if isinstance(body, list):
        return [with_real(one, number) for one in body]
    if not isinstance(body, dict):
        return body
    out = {}
    for key, value in body.items():
        known = REAL.get(f"body.{key}")
        if key == "url" and isinstance(value, str) and "://" in value:
            value = "https://nowhere.invalid/" + value.split("://", 1)[1].partition("/")[2]
        elif known and isinstance(value, str) and number % 4 != 0:
            value = known[number % len(known)]
        else:
            value = with_real(value, number)
        out[key] = value
    return out


@schemathesis.hook
def before_call(context, case, **kwargs):
    number = next(turn)
    path, method = case.operation.path, case.operation.method.upper()
    case.body = with_real(case.body, number)
    spared = (method == "DELETE" or path.endswith("/undrain")) and any(part in path for part in SPARED)
    # One request in four keeps what was made up.
    if spared or number % 4 == 0:
        return
    for parameter in case.path_parameters or {}:
        known = REAL.get(name_of(path, parameter))
        if known:
            case.path_parameters[parameter] = known[number % len(known)]


@schemathesis.check
def no_failure_of_the_server(ctx, response, case):
    """Nothing that a request says is answered with a failure of the server. A hub that cannot be reached is none: here there is no hub."""
    if response.status_code < 500:
        return
    code = response.json().get("error", {}).get("code") if "json" in response.headers.get("content-type", [""])[0] else None
    assert code == "hub_unreachable", f"{case.operation.method.upper()} {case.operation.path}: {response.status_code} {code}"
