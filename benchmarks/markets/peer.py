"""The same markets and results, row by row through SQLAlchemy's ORM, in an environment of its own.

Four tables (markets, contracts, results, runs), one session and one transaction per market: what a straightforward
pipeline does. Reads payloads as JSON lines, prints the seconds that writing them took.
"""

import json
import sys
import time

from sqlalchemy import Column, Float, Integer, String, create_engine
from sqlalchemy.orm import Session, declarative_base

Base = declarative_base()


class Market(Base):
    __tablename__ = "markets"
    run_id = Column(String, primary_key=True)
    market_id = Column(String, primary_key=True)
    question = Column(String)
    price = Column(Float)


class Contract(Base):
    __tablename__ = "contracts"
    run_id = Column(String, primary_key=True)
    market_id = Column(String, primary_key=True)
    outcome_index = Column(Integer, primary_key=True, autoincrement=False)
    price = Column(Float)


class Result(Base):
    __tablename__ = "results"
    run_id = Column(String, primary_key=True)
    market_id = Column(String, primary_key=True)
    experiment = Column(String, primary_key=True)
    kind = Column(String)
    probability = Column(Float)
    reason = Column(String)
    input_hash = Column(String)


def main() -> None:
    url, path = sys.argv[1:]
    rows = [json.loads(line) for line in open(path)]  # noqa: SIM115, PTH123
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    started = time.perf_counter()
    for row in rows:
        market, key = row["snapshot"]["market_id"], {"run_id": "r", "market_id": row["snapshot"]["market_id"]}
        with Session(engine) as session, session.begin():
            session.merge(Market(**key, question=row["snapshot"]["question"], price=row["snapshot"]["price"]))
            for contract in row["contracts"]:
                session.merge(Contract(**key, outcome_index=contract["outcome_index"], price=contract["price"]))
            for result in row["results"]:
                fields = {name: result.get(name) for name in ("kind", "probability", "reason", "input_hash")}
                session.merge(Result(**key, experiment=result["experiment"], **fields))
        del market
    print(time.perf_counter() - started)


main()
