"""One command per published table: check the data, train each row, evaluate, compare with the paper.

`python -m scan_lightning.reproduce flickr30k --data DIR`, or `make reproduce-flickr DATA=DIR`.
"""
