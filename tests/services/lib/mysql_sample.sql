SET time_zone = '+00:00';
CREATE TABLE customers (id BIGINT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(120) UNIQUE NOT NULL, note TEXT, bin VARBINARY(40),
	created TIMESTAMP NULL, name VARCHAR(40) CHARACTER SET latin1) ENGINE=InnoDB;
CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer BIGINT NOT NULL, st ENUM('new', 'paid;', 'v''oid') NOT NULL DEFAULT 'new',
	KEY by_customer (customer, st), CONSTRAINT fk_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE lines_ (`order` BIGINT, n INT, qty INT NOT NULL, PRIMARY KEY (`order`, n), CONSTRAINT fk_order FOREIGN KEY (`order`) REFERENCES orders (id))
	ENGINE=InnoDB;
CREATE TABLE history (id INT PRIMARY KEY, v INT) ENGINE=InnoDB WITH SYSTEM VERSIONING;
CREATE TABLE made (id INT PRIMARY KEY, v INT AS (id + 1) VIRTUAL, p INT AS (id + 2) PERSISTENT) ENGINE=InnoDB;
CREATE TABLE `we``ird; na'me/x` (id INT, `c``ol` VARCHAR(20) DEFAULT ');\n' COMMENT 'a;b''c') ENGINE=InnoDB;
CREATE SEQUENCE numbers START WITH 10;
CREATE TABLE shapes (id INT DEFAULT (NEXT VALUE FOR numbers), p POINT, j JSON, b BIT(10), d DOUBLE, f FLOAT, dt DATETIME(6), m DECIMAL(20, 6),
	y YEAR, t TIME(3), bl LONGBLOB) ENGINE=InnoDB;
CREATE TABLE parts (id INT, y INT) ENGINE=InnoDB PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE TABLE empty_ (id INT) ENGINE=InnoDB;
CREATE TABLE `MASTER_LOG_FILE='x', MASTER_LOG_POS=9` (id INT) ENGINE=InnoDB;
INSERT INTO history VALUES (1, 1), (2, 2);
UPDATE history SET v = 3 WHERE id = 1;
DELETE FROM history WHERE id = 2;
INSERT INTO customers VALUES (1, 'a@x', 'it''s "x" \\ ;\n-- Dump completed\r\n/* */ `q` \0 \Z ☃', x'00ff27', '2024-06-01 12:00:00', 'Müller'),
	(2, 'b@x', NULL, NULL, '2024-01-01 00:00:00', NULL), (3, 'c@x', '', x'', NULL, ''), (4, 'd@x', '),(4,''no'');\nINSERT INTO `orders` VALUES (9,9);', NULL, NULL, 'NULL');
INSERT INTO customers (email, note) SELECT CONCAT('u', seq, '@example.test'), REPEAT(CHAR(97 + seq % 26), seq % 300) FROM seq_1_to_2000;
INSERT INTO orders (customer, st) SELECT seq % 2000 + 5, ELT(seq % 3 + 1, 'new', 'paid;', 'v''oid') FROM seq_1_to_5000;
INSERT INTO lines_ SELECT seq, 1, seq % 9 + 1 FROM seq_1_to_5000;
INSERT INTO made (id) SELECT seq FROM seq_1_to_100;
INSERT INTO `we``ird; na'me/x` VALUES (1, '(),('), (2, NULL), (NULL, DEFAULT);
INSERT INTO shapes VALUES (1, POINT(1, 2), '{"a": [1, "x''"]}', b'1010', 1.5e300, 0.1, '2024-01-01 00:00:00.123456', 12345.678901, 2024, '12:34:56.789', REPEAT(x'00ff5c27', 50000)),
	(NULL, NULL, NULL, NULL, -0.5, NULL, NULL, NULL, NULL, NULL, ''), (DEFAULT, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO parts SELECT seq, 1990 + seq % 20 FROM seq_1_to_200;
CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN 2 * a;
CREATE VIEW totals AS SELECT o.id, SUM(l.qty) AS total, twice(COUNT(*)) AS t FROM orders o JOIN lines_ l ON l.`order` = o.id GROUP BY o.id;
CREATE VIEW large AS SELECT shop.id FROM totals shop WHERE shop.total > 8;
DELIMITER //
CREATE TRIGGER shop.ins BEFORE INSERT ON shop.orders FOR EACH ROW BEGIN SET NEW.st = IF(NEW.st = 'v''oid', 'new', NEW.st); /* ;; */ END//
CREATE TRIGGER upd AFTER UPDATE ON orders FOR EACH ROW INSERT INTO empty_ VALUES (NEW.id)//
CREATE PROCEDURE report() BEGIN SELECT ';;', "DELIMITER ;", '-- Table structure for table `no`'; SELECT COUNT(*) FROM orders; END//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2024-01-01 03:00:00' COMMENT 'PRESERVE ENABLE' DO DELETE FROM empty_ WHERE id < 0//
DELIMITER ;
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
CREATE FUNCTION folder() RETURNS TEXT DETERMINISTIC RETURN 'C:\';
