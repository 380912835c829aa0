"""Calls a function by OpenAI's Python client, whole and streamed, gives its result back, and prints what came.

    python openai_tools.py MODEL

OPENAI_BASE_URL and OPENAI_API_KEY say where, as for any program that uses the client.
"""
import json
import sys

from openai import OpenAI

MODEL = sys.argv[1]
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"],
              "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}]

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

print(json.dumps({
    "called": call.function.name,
    "finish": choice.finish_reason,
    "streamed": name == call.function.name and text == call.function.arguments,
    "answered": answers[0].finish_reason,
}))
