"""Reading a prompt the way a child would: which things, which colours, what time, what ground."""

import re
from dataclasses import dataclass, field

from yiapi_sandbox.palette import NAMED, Color

THINGS = {
    "cat": "cat kitten kitty 猫",
    "fox": "fox 狐",
    "dog": "dog puppy wolf 狗 犬 狼",
    "bird": "bird gull seagull eagle 鸟 鹰",
    "fish": "fish whale dolphin shark 鱼 鲸",
    "rabbit": "rabbit bunny hare 兔",
    "person": "person man woman girl boy child robot astronaut people portrait dancer she he 人 女孩 男孩 机器人",
    "boat": "boat sailboat ship yacht 船 帆",
    "lighthouse": "lighthouse tower 灯塔 塔",
    "house": "house cabin cottage hut home barn castle 房 屋 城堡",
    "tree": "tree forest oak wood 树 林",
    "pine": "pine fir spruce christmas 松",
    "palm": "palm coconut 椰 棕榈",
    "flower": "flower rose tulip blossom daisy sunflower lotus 花",
    "balloon": "balloon 气球",
    "heart": "heart love 心",
    "star": "starfish 五角星",
    "car": "car taxi truck bus van 车",
    "rocket": "rocket spaceship 火箭",
    "apple": "apple fruit peach 苹果",
    "cup": "cup coffee tea mug teapot 杯 咖啡 茶",
    "cactus": "cactus 仙人掌",
    "mushroom": "mushroom 蘑菇",
    "umbrella": "umbrella parasol 伞",
    "book": "book 书",
    "kite": "kite 风筝",
}
SKIES = {
    "night": "night midnight starry moon stars dark 夜 月 星",
    "sunset": "sunset dusk evening twilight golden 黄昏 日落 夕阳",
    "dawn": "dawn sunrise morning 黎明 日出 清晨",
    "storm": "storm rain rainy thunder cloudy 雨 暴风",
    "space": "space galaxy planet cosmos nebula universe 太空 宇宙 银河",
    "fog": "fog mist misty haze 雾",
    "day": "day noon sunny summer 白天 晴",
}
GROUNDS = {
    "sea": "sea ocean lake water river harbour harbor wave island bay pond 海 湖 河 水",
    "beach": "beach shore coast sand tropical 沙滩 海滩",
    "snow": "snow snowy winter ice arctic 雪 冬",
    "desert": "desert dune sahara 沙漠",
    "city": "city town street skyline urban building neon cyberpunk 城市 街",
    "room": "room table desk studio sofa couch kitchen piano indoor 桌 房间",
    "meadow": "meadow field grass garden park hill valley forest spring 草 田 花园",
}
EXTRAS = {
    "sun": "sun sunny sunrise sunset 太阳 日出 日落",
    "moon": "moon 月",
    "stars": "star starry 星",
    "clouds": "cloud cloudy 云",
    "mountains": "mountain peak alp alps hill 山",
    "rain": "rain rainy 雨",
    "snowfall": "snow snowy 雪",
    "rainbow": "rainbow 彩虹",
}
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "several": 4, "many": 5, "2": 2, "3": 3, "4": 4, "5": 5,
           "两": 2, "三": 3, "四": 4, "五": 5}  # fmt: skip
NATURAL = {
    "boat": "sea",
    "lighthouse": "sea",
    "fish": "sea",
    "cactus": "desert",
    "palm": "beach",
    "star": "beach",
    "car": "city",
    "apple": "room",
    "cup": "room",
    "book": "room",
    "person": "meadow",
    "rocket": "space",
}
"""Where a thing stands when the prompt does not say."""

_ENGLISH = re.compile(r"[a-z]+|\d+|[\u4e00-\u9fff]+")
_READ_MAX = 4000
THINGS_MAX = 6


@dataclass(frozen=True)
class Thing:
    """One thing to draw; without a colour it gets its own."""

    name: str
    color: Color | None


@dataclass
class Idea:
    """What a prompt is about."""

    things: list[Thing] = field(default_factory=list)
    sky: str | None = None
    ground: str | None = None
    extras: set[str] = field(default_factory=set)
    tints: list[Color] = field(default_factory=list)
    """Colours that belong to no thing."""

    @property
    def is_abstract(self) -> bool:
        """Whether there is nothing in it that can be drawn."""
        return not (self.things or self.sky or self.ground or self.extras)


def _lexicon(groups: dict[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, words in groups.items() for word in words.split()}


_THINGS, _SKIES, _GROUNDS, _EXTRAS = (_lexicon(group) for group in (THINGS, SKIES, GROUNDS, EXTRAS))
_CHINESE = sorted(
    (word for word in {*_THINGS, *_SKIES, *_GROUNDS, *_EXTRAS, *NAMED, *NUMBERS} if ord(word[0]) > 0x4E00),
    key=len,
    reverse=True,
)


def read(prompt: str, negative: str = "") -> Idea:
    """Read a prompt; what its negative names is left out."""
    idea = Idea()
    unwanted = set(_words(negative))
    color: Color | None = None
    count = 1
    for word in _words(prompt):
        if word in NAMED:
            if color:
                idea.tints.append(color)
            color = NAMED[word]
            continue
        count = NUMBERS.get(word, count)
        if word in unwanted:
            continue
        if word in _THINGS:
            idea.things += _standing(_THINGS[word], color, count, idea.things)
            color, count = None, 1
        idea.sky = idea.sky or _SKIES.get(word)
        idea.ground = idea.ground or _GROUNDS.get(word)
        if word in _EXTRAS:
            idea.extras.add(_EXTRAS[word])
    if color:
        idea.tints.append(color)
    return idea


def _standing(name: str, color: Color | None, count: int, before: list[Thing]) -> list[Thing]:
    """Return the things that a word adds: nothing for the second half of "palm tree" and "cup of coffee"."""
    if before and (before[-1].name, name) in {("palm", "tree"), ("pine", "tree"), ("cup", "cup"), ("tree", "tree")}:
        return []
    return [Thing(name, color)] * min(count, THINGS_MAX - len(before))


def _words(text: str) -> list[str]:
    words: list[str] = []
    for found in _ENGLISH.findall(text[:_READ_MAX].lower()):
        words += [_singular(found)] if found[0] < "\u4e00" else _chinese(found)
    return words


def _singular(word: str) -> str:
    for ending, instead in (("ies", "y"), ("es", ""), ("es", "e"), ("s", "")):
        stem = word[: -len(ending)] + instead if word.endswith(ending) else ""
        if stem in _THINGS or stem in _EXTRAS or stem in _GROUNDS:
            return stem
    return word


def _chinese(text: str) -> list[str]:
    words, at = [], 0
    while at < len(text):
        word = next((word for word in _CHINESE if text.startswith(word, at)), "")
        if word:
            words.append(word)
        at += len(word) or 1
    return words
