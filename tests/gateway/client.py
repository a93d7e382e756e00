"""Drives the gateway with OpenAI's own client, and counts what reaches the upstream: `client.py GATEWAY UPSTREAM`."""

import asyncio
import json
import sys
import urllib.request

import openai
from openai import AsyncOpenAI, OpenAI

GATEWAY, UPSTREAM = sys.argv[1:]
KEY = "sk-of-a-client"
requests = 0


def reached():
    """How many calls, and texts to embed, have come to the upstream."""
    with urllib.request.urlopen(UPSTREAM + "/calls") as answer:
        counts = json.load(answer)
    return counts["chats"], counts["texts"]


class Calls:
    """Expects that its block makes so many calls to the upstream."""

    def __init__(self, chats, texts=0):
        self.expected = (chats, texts)

    def __enter__(self):
        self.before = reached()

    def __exit__(self, kind, *_):
        if kind is None:
            made = tuple(after - before for after, before in zip(reached(), self.before))
            assert made == self.expected, f"{made} calls, expected {self.expected}"


def client(key=KEY, **more):
    return OpenAI(base_url=GATEWAY, api_key=key, max_retries=0, **more)


def ask(question, history=(), model="small", key=KEY, headers=None, **parameters):
    """The answer's text, and the headers that say where it comes from."""
    global requests
    requests += 1
    messages = [*history, {"role": "user", "content": question}]
    raw = client(key).chat.completions.with_raw_response.create(
        model=model, messages=messages, extra_headers=headers or {}, **parameters
    )
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "stop" and answer.usage.total_tokens == 30
    return answer.choices[0].message.content, raw.headers


def is_(headers, became, **more):
    for name, value in {"": became, **more}.items():
        name = "x-stampede" + ("-" + name if name else "")
        assert headers.get(name) == value, f"{name}: {headers.get(name)}, expected {value}: {dict(headers)}"


def what_is_equal_or_means_the_same():
    with Calls(1):
        first, headers = ask("How do I reset my password?")
        is_(headers, "miss", share="meaning", tier=None, age=None)
        again, headers = ask("How do I reset my password?")
        is_(headers, "hit", tier="memory", similarity="1.000")
        assert int(headers["x-stampede-age"]) < 60
        near, headers = ask("How can I reset my password?")
        is_(headers, "hit", tier="index", similarity="0.960")
        assert first == again == near, (first, again, near)
        parts, headers = ask("HOW CAN I  reset my password?")
        is_(headers, "hit")
        assert parts == first
    with Calls(1):
        # Not near enough.
        is_(ask("Reset my password, how?")[1], "miss")
    with Calls(2):
        ask("May I return it within 14 days?")
        # Near, and with another number.
        is_(ask("May I return it within 30 days?")[1], "miss")


def what_is_not_the_question_has_to_be_equal():
    question = "How do I reset my password?"
    others = [
        {"model": "other"},
        {"key": "sk-of-another"},
        {"headers": {"x-stampede-tenant": "another"}},
        {"headers": {"OpenAI-Project": "another"}},
        {"max_tokens": 5},
        {"temperature": 0},
        {"seed": 7},
        {"history": [{"role": "system", "content": "Be brief."}]},
        {"history": [{"role": "system", "content": "Be  brief."}]},
        {"history": [{"role": "user", "content": "Be brief."}]},
        {"history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"history": [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]},
        {"response_format": {"type": "json_object"}},
    ]
    with Calls(len(others)):
        for other in others:
            is_(ask(question, **other)[1], "miss")
    with Calls(0):
        for other in others:
            is_(ask(question, **other)[1], "hit", tier="memory")
            is_(ask("How can I reset my password?", **other)[1], "hit", similarity="0.960")
        # Who asks within a tenant has no part in the answer.
        is_(ask(question, user="somebody", metadata={"trace": "1"})[1], "hit")


def cache_control():
    question = "What is new?"
    with Calls(3):
        first, _ = ask(question)
        second, headers = ask(question, headers={"Cache-Control": "no-cache"})
        is_(headers, "miss")
        third, headers = ask(question, headers={"Cache-Control": "no-store"})
        is_(headers, "bypass")
        last, headers = ask(question)
        is_(headers, "hit")
        # What was refreshed is kept, and what was not to be stored is not.
        assert len({first, second, third}) == 3 and last == second


def chance_and_acts():
    tools = [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}]
    for parameters in ({"temperature": 0.7}, {"n": 2}, {"tools": tools}, {"store": True}):
        with Calls(2):
            for _ in range(2):
                is_(ask("Tell me a joke", **parameters)[1], "bypass", share="none")
        with Calls(1):
            for became in ("miss", "hit"):
                headers = {"x-stampede-share": "exact"}
                is_(ask("Tell me a joke", headers=headers, **parameters)[1], became, share="exact")
    with Calls(2):
        exact = {"x-stampede-share": "exact"}
        is_(ask("How do I reset my password?", headers=exact)[1], "miss", share="exact")
        is_(ask("how do I reset my password?", headers=exact)[1], "miss", share="exact")
    with Calls(1):
        is_(ask("How do I reset my password?", headers={"x-stampede-share": "none"})[1], "bypass")


def streams():
    global requests
    for _ in range(2):
        requests += 1
        with Calls(1):
            stream = client().chat.completions.create(
                model="small", messages=[{"role": "user", "content": "What is a stream?"}], stream=True
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            assert text.endswith("to What is a stream?"), text


def a_crowd():
    global requests

    async def crowd():
        async with AsyncOpenAI(base_url=GATEWAY, api_key=KEY, max_retries=0) as crowd:
            message = {"role": "user", "content": "What does everybody ask?"}
            calls = [crowd.chat.completions.create(model="slow", messages=[message]) for _ in range(50)]
            return {answer.choices[0].message.content for answer in await asyncio.gather(*calls)}

    requests += 50
    with Calls(1):
        assert len(asyncio.run(crowd())) == 1


def embeddings():
    global requests
    direct = OpenAI(base_url=UPSTREAM + "/v1", api_key=KEY)

    def vectors(client, texts, **parameters):
        answer = client.embeddings.with_raw_response.create(model="placed", input=texts, **parameters)
        data = sorted(answer.parse().data, key=lambda one: one.index)
        return [one.embedding for one in data], answer.headers

    texts = ["red", "green", "blue", "red"]
    right, _ = vectors(direct, texts)
    assert len(right[0]) == 256 and right[0] == right[3] != right[1]
    with Calls(0, 3):
        got, headers = vectors(client(), texts)
        is_(headers, "miss", sent="3")
        assert got == right
    with Calls(0, 1):
        got, headers = vectors(client(), ["blue", "black", "green"])
        is_(headers, "miss", sent="1")
        assert got[0] == right[2] and got[2] == right[1]
    with Calls(0, 0):
        got, headers = vectors(client(), "red")
        is_(headers, "hit", sent="0")
        assert got == [right[0]]
    with Calls(0, 1):
        # As numbers they are other answers; another key has its own.
        got, headers = vectors(client(), "red", encoding_format="float")
        is_(headers, "miss", sent="1")
        assert max(abs(one - other) for one, other in zip(got[0], right[0])) < 1e-6
    with Calls(0, 1):
        vectors(client("sk-of-another"), "red")
    with Calls(0, 2):
        vectors(client(), ["red", "green"], extra_headers={"Cache-Control": "no-cache"})
    with Calls(0, 1):
        got, headers = vectors(client(), ["red"], extra_headers={"Cache-Control": "no-store"})
        is_(headers, "bypass")
    requests += 7


def errors():
    global requests
    for model, error in [
        ("busy", openai.RateLimitError),
        ("unknown", openai.NotFoundError),
        ("failing", openai.InternalServerError),
    ]:
        with Calls(2):
            for _ in range(2):
                try:
                    ask("What goes wrong?", model=model)
                    raise AssertionError(f"{model} has answered")
                except error as refused:
                    assert "the upstream says no" in str(refused), refused
                    assert refused.request_id.startswith("chat-"), refused.request_id
                    if model == "busy":
                        assert refused.response.headers["retry-after"] == "7"
    try:
        client().embeddings.create(model="placed", input=["refused", "red"])
        raise AssertionError("it was not refused")
    except openai.BadRequestError as refused:
        assert refused.code == "bad_text"
    requests += 1
    # Who was refused once is not refused for it again.
    with Calls(0, 0):
        requests += 1
        client().embeddings.create(model="placed", input=["red"])


def main():
    models = client().models.list()
    assert [model.id for model in models.data] == ["small"]
    what_is_equal_or_means_the_same()
    what_is_not_the_question_has_to_be_equal()
    cache_control()
    chance_and_acts()
    streams()
    a_crowd()
    embeddings()
    errors()
    chats, texts = reached()
    print(f"{requests} requests, {chats} chats and {texts} texts reached the upstream")


main()
