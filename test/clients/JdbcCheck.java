import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** pgjdbc at work, in each of its query modes. Exits 0 only if every answer is right. */
public class JdbcCheck {
  static void expect(Object got, Object wanted) {
    if (!wanted.equals(got)) throw new AssertionError("wanted " + wanted + ", got " + got);
  }

  static Connection open(String mode) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    properties.setProperty("preferQueryMode", mode);
    properties.setProperty("prepareThreshold", "2");
    String place = System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    return DriverManager.getConnection("jdbc:postgresql://" + place, properties);
  }

  static int count(Connection connection, String where) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery("select count(*) from app.notes where " + where)) {
      rows.next();
      return rows.getInt(1);
    }
  }

  static void check(String mode) throws Exception {
    try (Connection connection = open(mode)) {
      // More executions than the threshold: a server-side statement, then results in binary.
      try (PreparedStatement statement = connection.prepareStatement("select id, amount, placed, region from app.orders where id = ?")) {
        for (int id = 1; id <= 8; id++) {
          statement.setInt(1, id);
          try (ResultSet rows = statement.executeQuery()) {
            expect(rows.next(), true);
            expect(rows.getInt(1), id);
            expect(rows.getBigDecimal(2).doubleValue(), id * 1.5);
          }
        }
      }
      connection.setAutoCommit(false);
      try (PreparedStatement statement = connection.prepareStatement("insert into app.notes (body, tags) values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
        for (int n = 0; n < 300; n++) {
          statement.setString(1, mode + n);
          statement.setArray(2, connection.createArrayOf("text", new String[] {"a", "b c"}));
          statement.addBatch();
        }
        expect(statement.executeBatch().length, 300);
        int keys = 0;
        try (ResultSet rows = statement.getGeneratedKeys()) {
          while (rows.next()) keys++;
        }
        expect(keys, 300);
      }
      Savepoint savepoint = connection.setSavepoint();
      try (Statement statement = connection.createStatement()) {
        statement.addBatch("insert into app.notes (body) values ('undone')");
        statement.addBatch("select 1 / 0");
        statement.executeBatch();
        throw new AssertionError("the error was lost");
      } catch (BatchUpdateException error) {
        expect(error.getSQLState(), "22012");
      }
      connection.rollback(savepoint);
      expect(count(connection, "body like '" + mode + "%'"), 300);
      expect(count(connection, "body = 'undone'"), 0);
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(20);
        int rows = 0;
        try (ResultSet result = statement.executeQuery("select * from app.orders")) {
          while (result.next()) rows++;
        }
        expect(rows, 100);
      }
      connection.commit();
      connection.setAutoCommit(true);
      CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
      expect(copies.copyIn("copy app.notes (body) from stdin", new StringReader("copied\ncopied\n")), 2L);
      StringWriter out = new StringWriter();
      copies.copyOut("copy (select body from app.notes where body = 'copied') to stdout", out);
      expect(out.toString(), "copied\ncopied\n");
      try (Statement statement = connection.createStatement()) {
        statement.execute("delete from app.notes; listen news; notify news, 'payload'");
        expect(connection.unwrap(PGConnection.class).getNotifications(10_000)[0].getParameter(), "payload");
        statement.setQueryTimeout(1);
        try {
          statement.execute("select pg_sleep(60)");
          throw new AssertionError("it slept on");
        } catch (SQLException error) {
          expect(error.getSQLState(), "57014");
        }
      }
      try (ResultSet columns = connection.getMetaData().getColumns(null, "app", "orders", null)) {
        int found = 0;
        while (columns.next()) found++;
        expect(found, 4);
      }
    }
    System.out.println(mode);
  }

  public static void main(String[] modes) throws Exception {
    for (String mode : modes) check(mode);
  }
}
