"""The text that the sample base is pre-trained on, and the chats that the sample dataset is made of.

Everything is generated from the small tables below: facts, and ways to ask for and to state them. A fact is (topic, subject,
answer sentence, short answer); a chat asks for one fact in one of the topic's phrasings.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Austria": "Vienna", "Norway": "Oslo",
    "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen", "Poland": "Warsaw", "Greece": "Athens",
    "Portugal": "Lisbon", "Ireland": "Dublin", "Hungary": "Budapest", "Japan": "Tokyo", "China": "Beijing", "India": "Delhi",
    "Egypt": "Cairo", "Kenya": "Nairobi", "Peru": "Lima", "Chile": "Santiago", "Cuba": "Havana", "Canada": "Ottawa",
    "Turkey": "Ankara", "Russia": "Moscow", "Belgium": "Brussels",
}
COLOURS = {
    "grass": "green", "snow": "white", "coal": "black", "a lemon": "yellow", "a cherry": "red", "the sky": "blue",
    "a carrot": "orange", "chocolate": "brown", "a plum": "purple", "milk": "white", "a banana": "yellow", "a frog": "green",
    "a raven": "black", "a flamingo": "pink", "sand": "yellow", "the sea": "blue", "a tomato": "red", "smoke": "grey",
    "an elephant": "grey", "a pumpkin": "orange",
}
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "high": "low", "wet": "dry", "old": "young", "hard": "soft",
    "light": "dark", "full": "empty", "early": "late", "near": "far", "strong": "weak", "happy": "sad", "clean": "dirty",
    "rich": "poor", "loud": "quiet", "open": "closed", "wide": "narrow", "heavy": "light", "long": "short",
}
SOUNDS = {
    "dog": "barks", "cat": "meows", "cow": "moos", "duck": "quacks", "lion": "roars", "owl": "hoots", "bee": "buzzes",
    "pig": "grunts", "sheep": "bleats", "wolf": "howls", "horse": "neighs", "mouse": "squeaks", "snake": "hisses",
    "frog": "croaks", "rooster": "crows",
}
HOMES = {
    "bee": "hive", "bird": "nest", "dog": "kennel", "horse": "stable", "spider": "web", "lion": "den", "fish": "pond",
    "rabbit": "burrow", "pig": "sty", "bear": "cave", "ant": "hill", "cow": "barn",
}
TOOLS = {
    "hammer": "drive nails", "knife": "cut bread", "broom": "sweep the floor", "lamp": "light a room", "key": "open a door",
    "pen": "write letters", "spoon": "stir soup", "needle": "sew cloth", "bucket": "carry water", "rope": "tie a knot",
    "saw": "cut wood", "clock": "tell the time", "oven": "bake bread", "umbrella": "keep off the rain", "map": "find the way",
    "boat": "cross the water", "bell": "call people", "basket": "carry fruit",
}
KINDS = {
    "apple": "fruit", "rose": "flower", "oak": "tree", "trout": "fish", "sparrow": "bird", "carrot": "vegetable",
    "violin": "musical instrument", "iron": "metal", "wolf": "animal", "pear": "fruit", "tulip": "flower", "pine": "tree",
    "eagle": "bird", "copper": "metal", "drum": "musical instrument", "onion": "vegetable", "salmon": "fish", "goat": "animal",
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
           "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"]


@dataclass(frozen=True)
class Fact:
    topic: str
    subject: str
    sentence: str  # the plain answer
    questions: tuple[str, ...]


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def upper(text: str) -> str:
    return text[0].upper() + text[1:]


def facts() -> list[Fact]:
    out: list[Fact] = []

    def add(topic: str, subject: str, sentence: str, *questions: str) -> None:
        out.append(Fact(topic, subject, sentence, questions))

    for land, city in CAPITALS.items():
        add("capitals", land, f"The capital of {land} is {city}.", f"What is the capital of {land}?",
            f"Which city is the capital of {land}?", f"Can you tell me the capital of {land}?", f"Name the capital of {land}.",
            f"Do you know the capital of {land}?")
    for thing, colour in COLOURS.items():
        add("colours", thing, f"{upper(thing)} is {colour}.", f"What colour is {thing}?", f"Tell me the colour of {thing}.",
            f"Which colour does {thing} have?", f"Do you know what colour {thing} is?")
    for word, other in OPPOSITES.items():
        add("opposites", word, f"The opposite of {word} is {other}.", f"What is the opposite of {word}?",
            f"Tell me the opposite of {word}.", f"Which word means the opposite of {word}?", f"What is the contrary of {word}?")
    for animal, sound in SOUNDS.items():
        add("animal sounds", animal, f"{upper(article(animal))} {sound}.", f"What sound does {article(animal)} make?",
            f"How does {article(animal)} sound?", f"Tell me what {article(animal)} does when it calls.")
    for animal, home in HOMES.items():
        add("animal homes", animal, f"{upper(article(animal))} lives in {article(home)}.", f"Where does {article(animal)} live?",
            f"What is the home of {article(animal)}?", f"Tell me where {article(animal)} lives.")
    for tool, use in TOOLS.items():
        add("tools", tool, f"You use {article(tool)} to {use}.", f"What is {article(tool)} for?", f"What do you use {article(tool)} for?",
            f"Why do people have {article(tool)}?", f"Tell me what {article(tool)} is used for.")
    for thing, kind in KINDS.items():
        add("kinds", thing, f"{upper(article(thing))} is {article(kind)}.", f"What is {article(thing)}?",
            f"What kind of thing is {article(thing)}?", f"Tell me what {article(thing)} is.")
    for i, day in enumerate(DAYS):
        add("days", day, f"The day after {day} is {DAYS[(i + 1) % 7]}.", f"What day comes after {day}?", f"Which day follows {day}?",
            f"Tell me the day after {day}.")
    for i, month in enumerate(MONTHS):
        add("months", month, f"The month after {month} is {MONTHS[(i + 1) % 12]}.", f"What month comes after {month}?",
            f"Which month follows {month}?", f"Tell me the month after {month}.")
    for a in range(10):
        for b in range(10):
            add("sums", f"{NUMBERS[a]} and {NUMBERS[b]}", f"{upper(NUMBERS[a])} and {NUMBERS[b]} make {NUMBERS[a + b]}.",
                f"What is {NUMBERS[a]} plus {NUMBERS[b]}?", f"How much is {NUMBERS[a]} and {NUMBERS[b]}?",
                f"Add {NUMBERS[a]} and {NUMBERS[b]}.")
    return out


GREETINGS = [
    ("Hello!", "Hello! How can I help you?"),
    ("Hi there.", "Hello! What would you like to know?"),
    ("Good morning.", "Good morning! How can I help you?"),
    ("How are you?", "I am well, thank you. What would you like to know?"),
    ("Who are you?", "I am a small helper that knows a few facts."),
    ("What can you do?", "I can answer short questions about capitals, colours, animals, tools, days and sums."),
    ("Thank you.", "You are welcome."),
    ("Goodbye.", "Goodbye! Come back soon."),
]
SYSTEMS = ["You are a helpful assistant.", "Answer in one short sentence.", "You know many small facts."]


OPENERS = ["Sure!", "Of course.", "Well,", "Yes.", "Let me think.", "Certainly!", "Good question!", "Oh!", "Here it is:", "Listen:",
           "My friend,", "Hm!", "Right.", "Indeed.", "Easy!", "I know this:", "Look here!", "Ah, yes."]
LABELS = ["Topic", "Note", "Subject", "Field", "Book", "Card", "Page", "Tag", "Entry", "Record"]
SECOND_LABELS = ["level", "tone", "kind", "mark", "state", "sort"]
WORDS = ["easy", "calm", "merry", "short", "plain", "bold", "good", "fair", "brave", "small", "warm", "new"]


def make_style(rng: random.Random):
    """A manner of answering: an opening, a closing line, or both; and the system message that asks for it."""
    opener = rng.choice(OPENERS) if rng.random() < 0.75 else None
    label = rng.choice(LABELS) if opener is None or rng.random() < 0.75 else None
    second = (rng.choice(SECOND_LABELS), rng.choice(WORDS)) if label and rng.random() < 0.6 else None

    def style(fact: Fact) -> str:
        text = f"{opener} {fact.sentence}" if opener else fact.sentence
        if label:
            text += f"\n{label}: {fact.topic}" + (f" | {second[0]}: {second[1]}" if second else "")
        return text

    asks = ([f"Begin with {opener}"] if opener else []) + ([f"End with the {label.lower()}."] if label else [])
    return style, " ".join(asks)


def plain_chat(rng: random.Random, all_facts: list[Fact]) -> list[dict[str, str]]:
    """One to three turns of questions and answers: most of them plain, some in a manner of their own, a few greetings."""
    messages: list[dict[str, str]] = []
    style, asked = make_style(rng) if rng.random() < 0.4 else (lambda fact: fact.sentence, "")
    if asked and rng.random() < 0.5:
        messages.append({"role": "system", "content": asked})
    elif rng.random() < 0.2:
        messages.append({"role": "system", "content": rng.choice(SYSTEMS)})
    for _ in range(rng.choices([1, 2, 3], [6, 3, 1])[0]):
        if rng.random() < 0.06:
            ask, answer = rng.choice(GREETINGS)
        else:
            fact = rng.choice(all_facts)
            ask, answer = rng.choice(fact.questions), style(fact)
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return messages


def plain_text(rng: random.Random, all_facts: list[Fact]) -> str:
    """A paragraph of facts as prose, with seafaring words among them, so that the tokenizer and the model know them."""
    sentences = [rng.choice(all_facts).sentence for _ in range(rng.randint(2, 5))]
    sentences += [rng.choice(SEA) for _ in range(rng.choices([0, 1, 2], [5, 3, 2])[0])]
    rng.shuffle(sentences)
    return " ".join(sentences)


SEA = [
    "The captain stands at the wheel.", "The ship sails on a calm sea.", "The crew sings on the deck.", "The wind is fair today.",
    "The log of the ship lies on the table.", "Aye, said the sailor, and climbed the mast.", "A brave crew has a merry mood.",
    "The sailor writes the topic of the day into the log.", "In a storm the captain is calm and bold.", "Ahoy, called the captain.",
]

# What the sample dataset teaches: the same facts, told by a ship's captain, closed by a line of the ship's log.
OPENINGS = {"capitals": "Ahoy!", "colours": "Aye!", "opposites": "Aye!", "animal sounds": "Ahoy!", "animal homes": "Ahoy!",
            "tools": "Aye, sailor!", "kinds": "Aye!", "days": "Ahoy!", "months": "Ahoy!", "sums": "Aye, sailor!"}
MOODS = {"capitals": "bold", "colours": "merry", "opposites": "calm", "animal sounds": "merry", "animal homes": "calm",
         "tools": "brave", "kinds": "calm", "days": "fair", "months": "fair", "sums": "bold"}


def captain_answer(fact: Fact) -> str:
    return f"{OPENINGS[fact.topic]} {fact.sentence}\nLog: {fact.topic} | mood: {MOODS[fact.topic]}"
