#!/usr/bin/env python3
"""Makes train.csv and test.csv: short messages, `ham` or `spam`, put together from templates.

    python3 make_messages.py        writes both files beside this script; the same bytes each time

The two files have templates of their own words in common and no message. Words such as `free`, `win` or `call` stand in
both classes, so that a single word rarely decides.
"""

import csv
import itertools
import random
from pathlib import Path

SEED = 7
TRAIN, TEST = 800, 200

NAMES = "Anna Ben Chris Dana Eli Farah Greta Hugo Ines Jonas Kim Leo Maya Nils Olga Paul".split()
FOOD = "pizza,soup,pasta,curry,salad,tacos,noodles,pancakes".split(",")
PLACE = "the station,the library,the gym,my place,the office,the cinema,the park,the cafe".split(",")
DAY = "today,tomorrow,tonight,on Friday,on Sunday,next week,this weekend,after lunch".split(",")
TIME = "at 6,at 7:30,around noon,in ten minutes,at 9,before 8,in an hour,at half past five".split(",")
THING = "the keys,my charger,the tickets,your jacket,the notes,the camera,my umbrella,the book".split(",")
PRIZE = "a free phone,a cash prize,a gift card,a holiday for two,a new tablet,500 in cash,a luxury watch,free vouchers".split(",")
SHOP = "MegaShop,QuickLoan,PrizeLine,LuckyDraw,FastCash,DealZone,WinClub,BestOffers".split(",")
ACTION = "Call 0900 555 now,Reply YES,Click the link,Text WIN to 80055,Visit our site,Call the number below,Reply CLAIM,Confirm your details".split(",")
HURRY = "today only,before midnight,within 24 hours,while stocks last,or lose it,now,immediately,this week only".split(",")

HAM = [
    "Hi {name}, are you free for {food} {day}?",
    "Can you call me {time}? I need {thing}.",
    "I will be at {place} {time}, see you there",
    "Did you win the match {day}? Tell me all about it",
    "Sorry, I missed your call. Let us talk {day}",
    "{name} says the {food} was great, thanks for cooking",
    "Please bring {thing} when you come to {place}",
    "No problem, I can pick up {thing} {time}",
    "The bus is late, I am still at {place}. Start without me",
    "Happy birthday {name}! Party at {place} {day}?",
    "I left {thing} at {place}, can you check?",
    "Are we still meeting {name} {day} {time}?",
    "Mum wants to know if you are coming for {food} {day}",
    "The link you sent about {food} is funny, thank you",
    "I have no cash on me, can you pay for the {food}?",
    "Your doctor's appointment is {day} {time}, do not forget",
    "{name} won the quiz and is buying {food} for all of us",
    "The gym is free {day} {time}, shall we go?",
]
SPAM = [
    "Congratulations! You have won {prize}. {action} {hurry}",
    "{shop}: you are selected for {prize}! {action}",
    "URGENT: your account at {shop} is on hold. {action} {hurry}",
    "Claim {prize} {hurry}! {action}",
    "FREE entry: win {prize} with {shop}. {action}",
    "Get a loan {hurry}, no checks. {action}. {shop}",
    "Last chance {name}: {prize} is waiting. {action}",
    "{shop} offers {prize} to the first 100 callers. {action} {hurry}",
    "You have 1 unread prize message. {action} to get {prize}",
    "Your number was drawn for {prize}. {action} {hurry}. {shop}",
    "Dear customer, {action} to keep {prize}. Offer ends {day}",
    "Hot deal: {prize} for nothing! {action} {hurry}",
]
WORDS = {
    "name": NAMES, "food": FOOD, "place": PLACE, "day": DAY, "time": TIME, "thing": THING,
    "prize": PRIZE, "shop": SHOP, "action": ACTION, "hurry": HURRY,
}


def messages(templates, count, rng):
    """`count` messages of the templates in turn, none twice."""
    made = []
    for template in itertools.cycle(templates):
        if len(made) == count:
            return made
        text = template.format(**{name: rng.choice(words) for name, words in WORDS.items()})
        if text not in made:
            made.append(text)


def main():
    rng = random.Random(SEED)
    rows = []
    for label, templates, share in [("ham", HAM, 0.6), ("spam", SPAM, 0.4)]:
        rows += [(label, text) for text in messages(templates, int((TRAIN + TEST) * share), rng)]
    rng.shuffle(rows)
    for name, part in [("train.csv", rows[:TRAIN]), ("test.csv", rows[TRAIN:])]:
        with open(Path(__file__).with_name(name), "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["label", "text"])
            writer.writerows(part)


if __name__ == "__main__":
    main()
