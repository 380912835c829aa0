"""Calls a function by OpenAI's Python client, whole and streamed, gives its result back, and prints what came.

    python openai_tools.py MODEL

OPENAI_BASE_URL and OPENAI_API_KEY say where, as for any program that uses the client.
"""
import json
import sys
from datetime import date
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

from openai import OpenAI
from pydantic import BaseModel, Field

MODEL = sys.argv[1]
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"],
              "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]



class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


class Thing(BaseModel):
    pair: tuple[Annotated[int, Field(ge=0, le=9)], Literal["a", "b"]]
    colours: set[Colour] = Field(min_length=1)
    day: date
    id: UUID
    size: Annotated[int, Field(multiple_of=5, gt=0, lt=100)] | None
    by: dict[Annotated[str, Field(pattern="^[a-z]{1,2}$")], bool] = Field(min_length=1, max_length=2)


client = OpenAI(max_retries=0)
messages = [{"role": "user", "content": "1"}]
asked = dict(model=MODEL, messages=messages, tools=TOOLS, seed=1, max_tokens=100, logit_bias={str(ord(space)): -100 for space in "\t\n\r "},
             tool_choice={"type": "function", "function": {"name": "add"}})

choice = client.chat.completions.create(**asked).choices[0]
call = choice.message.tool_calls[0]
arguments = json.loads(call.function.arguments)
assert isinstance(arguments["a"], int)

name, text = "", ""
for chunk in client.chat.completions.create(**asked, stream=True):
    for delta in chunk.choices[0].delta.tool_calls or []:
        name += delta.function.name or ""
        text += delta.function.arguments or ""

# As the client's own objects, and with every field that they have.
result = {"role": "tool", "tool_call_id": call.id, "content": str(arguments["a"] + 1)}
answers = [client.chat.completions.create(model=MODEL, tools=TOOLS, max_tokens=4, messages=[*messages, given, result]).choices[0]
           for given in (choice.message, choice.message.model_dump())]

thing = client.chat.completions.create(
    model=MODEL, messages=messages, max_tokens=250, seed=1, logit_bias=asked["logit_bias"],
    response_format={"type": "json_schema", "json_schema": {"name": "thing", "schema": Thing.model_json_schema()}}).choices[0]
Thing.model_validate_json(thing.message.content)

print(json.dumps({
    "called": call.function.name,
    "finish": choice.finish_reason,
    "streamed": name == call.function.name and text == call.function.arguments,
    "answered": answers[0].finish_reason,
    "thing": thing.finish_reason,
}))
