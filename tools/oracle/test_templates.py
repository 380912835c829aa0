"""Rows with tool calls: text, tokens and loss masks against transformers' apply_chat_template, which is told by its own
{% generation %} tags what the assistant writes."""

import json
import re
import shutil
import subprocess

import pytest
from transformers import AutoTokenizer

from lowrank import REPOSITORY

BASE = REPOSITORY / "samples/base"
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]

# Written for this test after the habits of well-known families: calls as tagged JSON and results within turns of the user; calls as one
# JSON object and results in a role of their own; calls as a list, with ids, where there is no content.
TEMPLATES = {
    "tagged": """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- 'Functions:' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {%- if message.content %}{{- message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\\n<call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</call>' }}
        {%- endfor %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<result>\\n' + message.content + '\\n</result>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""",
    "single": """\
{%- set ns = namespace(first=true) %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n\\n' }}
        {%- generation %}
        {%- if message.tool_calls is defined and message.tool_calls %}
            {%- for call in message.tool_calls %}
                {{- '{"name": "' ~ call.function.name ~ '", "parameters": ' ~ (call.function.arguments | tojson) ~ '}' }}
                {%- if not loop.last %}{{- '; ' }}{%- endif %}
            {%- endfor %}
        {%- else %}
            {{- message.content | trim }}
        {%- endif %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- '<|im_start|>' + ('ipython' if message.role == 'tool' else message.role) + '\\n\\n' }}
        {%- if message.role == 'user' and ns.first and tools is not none %}
            {%- set ns.first = false %}
            {{- 'Given are the functions:\\n\\n' }}
            {%- for tool in tools %}{{- tool | tojson(indent=4) }}{{- '\\n\\n' }}{%- endfor %}
        {%- endif %}
        {{- message.content | trim }}{{- '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n\\n' }}{%- endif %}
""",
    "listed": """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '[ANSWER]' }}
        {%- generation %}
        {%- if message.content is not defined %}
            {{- '[CALLS][' }}
            {%- for call in message.tool_calls %}
                {{- call.function | tojson | replace('}}', '} }') }}{{- ':' + (call.id or '-') }}
                {%- if not loop.last %}{{- ', ' }}{%- endif %}
            {%- endfor %}
            {{- ']' }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
    {%- elif message.role == 'tool' %}
        {{- '[RESULT ' + (message.tool_call_id | string) + ']' + message.content }}
    {%- else %}
        {%- if tools and message.role == 'user' %}{{- '[TOOLS]' ~ (tools | length) }}{%- endif %}
        {{- '[' + message.role + ']' + message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[ANSWER]' }}{%- endif %}
""",
}

TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "Today's weather in a city, <now> & here",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "Such as Zürich 🙂"}, "days": {"type": "integer", "enum": [1, 2]},
            "unit": {"type": ["string", "null"], "default": None}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
]


def call(name: str, arguments: dict, call_id: str) -> dict:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


CONVERSATIONS = {
    "one call": [
        {"role": "user", "content": "Is it warm in Zürich?"},
        {"role": "assistant", "content": None, "tool_calls": [call("weather", {"city": "Zürich", "days": 1}, "c1")]},
        {"role": "tool", "content": '{"celsius": 21.5}', "tool_call_id": "c1"},
        {"role": "assistant", "content": "Yes, it is 21.5 degrees."},
    ],
    "two calls, more turns": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Time and weather?"},
        {"role": "assistant", "content": None, "tool_calls": [
            call("clock", {}, "c1"), call("weather", {"city": "\"Rom\"\n", "deep": {"list": [1, -2.5, True, None, "<a>"]}}, "c2")]},
        {"role": "tool", "content": "12:00", "tool_call_id": "c1"},
        {"role": "tool", "content": "rain", "tool_call_id": "c2"},
        {"role": "assistant", "content": "Noon, and rain."},
        {"role": "user", "content": "Thanks!"},
        {"role": "assistant", "content": "You are welcome 🙂"},
    ],
    "no call": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
}


def without_tags(template: str) -> str:
    return re.sub(r"\{%-? (end)?generation %\}", "", template)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("with_tools", [True, False])
def test_tool_calls(tmp_path, name, with_tools):
    for file in TOKENIZER_FILES:
        shutil.copy(BASE / file, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(without_tags(TEMPLATES[name]))
    tools = TOOLS if with_tools else None
    # As OpenAI's files have them: arguments as JSON text.
    rows = json.loads(json.dumps([{"messages": messages} | ({"tools": tools} if tools else {}) for messages in CONVERSATIONS.values()]))
    for row in rows:
        for message in row["messages"]:
            for one in message.get("tool_calls", []):
                one["function"]["arguments"] = json.dumps(one["function"]["arguments"])
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"format": "chat", "row": row} for row in rows]))
    answer = subprocess.run(["node", "--require", "./tools/typescript.cjs", "tools/oracle/encode.ts", tmp_path, file], cwd=REPOSITORY,
                            check=True, timeout=120, stdout=subprocess.PIPE)
    ours = json.loads(answer.stdout)

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for messages, row in zip(CONVERSATIONS.values(), ours, strict=True):
        theirs = tokenizer.apply_chat_template(messages, tools=tools, chat_template=TEMPLATES[name], return_dict=True,
                                               return_assistant_tokens_mask=True)
        assert tokenizer.decode(row["tokens"]) == tokenizer.decode(theirs["input_ids"])
        assert row["tokens"] == theirs["input_ids"]
        assert row["mask"] == theirs["assistant_masks"]
        assert 0 < sum(row["mask"]) < len(row["mask"])
