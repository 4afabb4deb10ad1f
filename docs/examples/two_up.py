"""A bar strategy of your own, in one file: buy above the third of three rising closes, risk a fixed number of ticks."""

from decide.bars.strategy import Order

NAME, VERSION, TIMEFRAME_MINUTES = "two_up", "0.1", 5
PARAMETERS = {"ticks": 20}  # --set ticks=30
HISTORY = {"lookback_bars": 3, "has_session_state": False}  # bars; or a function of the parameters


def orders(known, parameters):  # known.bars, known.today, known.now, session edges
    close = known.bars.close[-3:]
    if not close[0] < close[1] < close[2]:
        return []
    risk = parameters["ticks"] * 0.01
    return [Order("BUY", "stop", close[-1], close[-1] - risk, close[-1] + 2 * risk)]
