"""Bars of exchanges: providers behind one protocol, landed as they came, labelled by their open in UTC."""
